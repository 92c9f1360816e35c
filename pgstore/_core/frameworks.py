"""The connections and sessions of SQLAlchemy and Django, known without importing either."""

import sys
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, ref

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from pgstore.errors import InvalidArgumentError, TransactionFailedError

# By the name of the package and the class, of the object or one that it inherits from: SQLModel's
# session inherits from SQLAlchemy's, and a Django backend of somebody's own from Django's.
_KINDS = {
    "sqlalchemy.Connection": "connection",
    "sqlalchemy.Session": "session",
    "sqlalchemy.scoped_session": "session",
    "sqlalchemy.AsyncConnection": "async connection",
    "sqlalchemy.AsyncSession": "async session",
    "sqlalchemy.async_scoped_session": "async session",
    "sqlalchemy.PoolProxiedConnection": "pooled connection",
    "sqlalchemy.Engine": "engine",
    "sqlalchemy.AsyncEngine": "async engine",
    "sqlalchemy.URL": "url",
    "sqlalchemy.sessionmaker": "session maker",
    "sqlalchemy.async_sessionmaker": "session maker",
    "django.BaseDatabaseWrapper": "django",
    "django.ConnectionProxy": "django",
    "psycopg2.connection": "psycopg2",
    "asyncpg.Connection": "asyncpg",
    "asyncpg.PoolConnectionProxy": "asyncpg",
    "pg8000.Connection": "pg8000",
}

OF_SQLALCHEMY = {"connection", "session"}
OF_ASYNC_SQLALCHEMY = {"async connection", "async session"}

_DRIVERS = {"psycopg2", "psycopg2cffi", "asyncpg", "pg8000"}

FAILED = (
    "nothing was stored: a statement in this transaction failed, and its error was caught."
    " PostgreSQL has undone the whole transaction. Call rollback(), or do not catch the"
    " error, or put what may fail into a savepoint"
)

_USE_PSYCOPG = {
    False: 'create_engine("postgresql+psycopg://…")',
    True: 'create_async_engine("postgresql+psycopg://…")',
}


def kind_of(value: object) -> str | None:
    """Name the kind of a framework's object, or another driver's; None for any other object."""
    if isinstance(value, str):
        return "text"
    for cls in type(value).__mro__:
        kind = _KINDS.get(f"{cls.__module__.partition('.')[0]}.{cls.__name__}")
        if kind is not None:
            return kind
    return None


def refuse_dialect(dialect: Any, name: str) -> None:
    """Refuse SQLAlchemy's way to another database, or by another driver than psycopg."""
    if dialect.name != "postgresql":
        raise InvalidArgumentError(f"{name} leads to {dialect.name}: a store is in PostgreSQL")
    if dialect.driver != "psycopg":
        raise InvalidArgumentError(
            f"{name} uses the driver {dialect.driver}: a store runs on psycopg:"
            f" {_USE_PSYCOPG[bool(dialect.is_async)]}"
        )


def dialect_of_session(session: Any) -> Any:
    """The dialect of a session's engine; refuse a session that has several."""
    try:
        return session.get_bind().dialect
    except sys.modules["sqlalchemy.exc"].UnboundExecutionError as error:
        raise InvalidArgumentError(
            "the session has no engine for statements without a table, or several: pass one of its"
            " connections, as session.connection(bind_arguments={'mapper': Order})"
        ) from error


def refuse_engine(engine: Any) -> None:
    """Refuse an engine of SQLAlchemy's whose connections a store cannot use."""
    refuse_dialect(engine.dialect, "the engine")
    if engine.dialect.is_async and kind_of(engine) == "engine":
        raise InvalidArgumentError(
            "the engine is the sync_engine of an async one: pass the AsyncEngine to an"
            " AsyncMessageStore"
        )


def refused_creator() -> InvalidArgumentError:
    """The error of an engine that connects with a connection that was there before."""
    return InvalidArgumentError(
        "the engine's creator returns a connection that is in use, and not a new one: a store"
        " needs connections beside it. Make the store with a connection string, and pass conn= to"
        " write on that connection"
    )


def refuse_raw(raw: object, wanted: type[Any], name: str) -> None:
    """Refuse a framework's connection whose driver's is not of this class."""
    if isinstance(raw, wanted):
        return
    if isinstance(raw, psycopg.AsyncConnection):
        raise InvalidArgumentError(
            f"{name} belongs to an async engine: pass the AsyncSession or AsyncConnection"
            " to an AsyncMessageStore"
        )
    driver = type(raw).__module__.partition(".")[0]
    raise InvalidArgumentError(
        f"{name} uses the driver {driver}: a store runs on psycopg 3: pip install 'psycopg[binary]'"
    )


# psycopg's connections on which a store was the first in a transaction of SQLAlchemy's.
_joined: WeakKeyDictionary[psycopg.BaseConnection[Any], ref[Any]] = WeakKeyDictionary()


def remember(raw: psycopg.BaseConnection[Any], owner: Any) -> None:
    """Let operations take psycopg's connection while SQLAlchemy's has a transaction."""
    if raw.info.transaction_status == TransactionStatus.IDLE:
        _joined[raw] = ref(owner)


def refuse_taken_out(raw: psycopg.BaseConnection[Any]) -> None:
    """Refuse psycopg's connection that was taken out of SQLAlchemy's before a transaction.

    SQLAlchemy begins one at its own first statement. Its commit() would not commit ours.
    """
    if raw.autocommit or raw.info.transaction_status != TransactionStatus.IDLE:
        return
    # SQLAlchemy leaves nothing else on it by which to know it.
    if any(each.__module__.startswith("sqlalchemy.") for each in raw._notice_handlers):
        owner = _joined[raw]() if raw in _joined else None
        if owner is not None and owner.in_transaction():
            return
        raise InvalidArgumentError(
            "this connection was taken out of SQLAlchemy's, whose commit() would not commit the"
            " transaction that begins here: pass SQLAlchemy's connection or session itself; or,"
            " to end the transaction yourself, begin it by: with conn.transaction()"
        )


def advice(kind: str | None, wanted: type[Any]) -> str:
    """Say how to mend a `conn=` of this kind; empty if nothing is known."""
    is_async = wanted is AsyncConnection
    if kind in OF_ASYNC_SQLALCHEMY:
        return "that is for an AsyncMessageStore"
    if kind in OF_SQLALCHEMY:
        return (
            "that is for a MessageStore: here pass an AsyncSession or an AsyncConnection, of"
            f" {_USE_PSYCOPG[True]}"
        )
    if kind == "pooled connection":
        return (
            "SQLAlchemy would not know of the transaction: pass the Connection or Session that it"
            " came from; of engine.raw_connection() pass .driver_connection, in a block of its"
            " transaction()"
        )
    if kind in ("engine", "async engine"):
        begin = "async with engine.begin()" if is_async else "with engine.begin()"
        return f"an engine has many connections: pass the one of {begin} as connection"
    if kind == "session maker":
        return "call it, and pass the session that it makes"
    if kind == "django":
        return (
            "Django's connections are not for asyncio: call a MessageStore in a function, by"
            " sync_to_async"
        )
    if kind == "text" and not is_async:
        return "the name of a database in Django's settings is fine, in a program that uses Django"
    if kind in _DRIVERS:
        return f"a store runs on psycopg 3, not on {kind}"
    return ""


def refuse_vendor(wrapper: Any) -> None:
    """Refuse a connection of Django's that leads to another database."""
    vendor = getattr(wrapper, "vendor", None)  # a cache's proxy is of the same class
    if vendor != "postgresql":
        raise InvalidArgumentError(
            f"a store is in PostgreSQL, and this is Django's connection to {vendor or 'a cache'}"
        )


def refuse_autocommit_off(wrapper: Any) -> None:
    """Refuse a database whose connections commit only on request, as the base of a store."""
    if not wrapper.settings_dict["AUTOCOMMIT"]:
        raise InvalidArgumentError(
            "Django's setting AUTOCOMMIT is off for this database, so that nobody would commit a"
            " store's own operations: make the store with a connection string, and pass"
            " conn=connection"
        )


def refuse_async_django(wrapper: object) -> NoReturn:
    """Refuse a connection of Django's as the base of an async store."""
    raise InvalidArgumentError(
        "Django's connections are not for asyncio: make a MessageStore, and call it by"
        " sync_to_async; or give the AsyncMessageStore a connection string"
    )


def refuse_to_run_in_a_block() -> None:
    """Refuse to run subscriptions where nothing that the caller has written would be handled."""
    raise InvalidArgumentError(
        "a block of atomic() is open, as in each TestCase, and workers see only what is committed:"
        " run subscriptions outside of it, in tests in a TransactionTestCase. In the block call the"
        " handlers: subscription.apply(store.read(stream), connection)"
    )


def django_connection(alias: str) -> Any:
    """The connection of this thread to one of Django's databases; None if there is no such one."""
    module: Any = sys.modules.get("django.db")
    if module is None or alias not in list(module.connections):
        return None
    return module.connections[alias]


# SQLAlchemy's events before it commits. The other two are those of a two-phase transaction, which
# may also be committed without its first phase.
COMMITS = ("commit", "prepare_twophase", "commit_twophase")


def refuse_failed_commit(
    connection: Any, xid: object = None, is_prepared: bool | None = None
) -> None:
    """Called by SQLAlchemy before it commits: raise if PostgreSQL would roll back instead."""
    pooled = connection.connection
    if pooled.driver_connection.info.transaction_status == TransactionStatus.INERROR:
        # After an error in its commit SQLAlchemy takes the transaction for ended; after one in the
        # first phase (without is_prepared) it rolls it back.
        if xid is None:
            connection.dialect.do_rollback(pooled)
        elif is_prepared is not None:
            connection.dialect.do_rollback_twophase(connection, xid, is_prepared=False)
        raise TransactionFailedError(f"{FAILED}: with session.begin_nested()")


def refuse_next_commit(wrapper: Any) -> None:
    """Have Django's commit() raise if PostgreSQL would roll back instead.

    Without autocommit, and outside of `atomic()`, Django does not look at its mark for rollback.
    """

    def commit() -> None:
        raw = wrapper.connection
        if raw is not None and raw.info.transaction_status == TransactionStatus.INERROR:
            raise TransactionFailedError(f"{FAILED}: with atomic()")
        del wrapper._commit  # which uncovers the method of the class
        wrapper._commit()

    wrapper._commit = commit
