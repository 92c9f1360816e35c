# Generated from tests/frameworks/_async/test_sqlalchemy.py by `python tools/unasync.py`.

"""Operations in a transaction of SQLAlchemy's: `conn=` takes its connections and sessions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy.exc
from psycopg.types.json import set_json_loads
from sqlalchemy import text

from pgstore import (
    InvalidArgumentError,
    MessageStore,
    OptimisticConcurrencyError,
    StoredMessage,
    TransactionFailedError,
)
from tests.frameworks._sync.conftest import OpenEngine, Orders
from tests.frameworks.engines import (
    Engine,
    ModelSession,
    Session,
    pooled,
    raw_of,
    scoped,
)
from tests.frameworks.messages import Paid

Store = MessageStore[Paid]

# Each makes what people have in hand.
WAYS: dict[str, Callable[[Engine], Any]] = {
    "connection": lambda engine: engine.connect(),
    "session": Session,
    "sqlmodel": ModelSession,
    "scoped": scoped,
}


def opened(way: str, engine: Engine) -> Any:
    made = WAYS[way](engine)
    return made.__enter__() if way == "connection" else made


@pytest.mark.parametrize("way", WAYS)
def test_commit_of_the_framework_commits_a_write_that_came_first(
    store: Store, engine: Engine, stream: str, way: str
) -> None:
    conn = opened(way, engine)
    store.write(stream, Paid(1), conn=conn)
    assert store.stream_version(stream) == 0
    conn.commit()
    assert store.stream_version(stream) == 1
    store.write(stream, Paid(2), conn=conn)
    store.write_many(stream, [Paid(3), Paid(4)], expected_version=2, conn=conn)
    conn.commit()
    assert store.stream_version(stream) == 4
    conn.close()


@pytest.mark.parametrize("way", WAYS)
def test_rollback_of_the_framework_undoes_a_write(
    store: Store, engine: Engine, stream: str, way: str
) -> None:
    conn = opened(way, engine)
    store.write(stream, Paid(1), conn=conn)
    conn.rollback()
    store.write(stream, Paid(1), conn=conn)
    conn.close()  # without a commit, too
    assert store.stream_version(stream) == 0


def test_rows_and_messages_are_one_transaction(
    store: Store, engine: Engine, stream: str, orders: Orders
) -> None:
    with engine.begin() as conn:
        conn.execute(orders.insert, {"key": "a"})
        store.write(stream, Paid(1), conn=conn)
    with Session(engine) as session, session.begin():
        store.write(stream, Paid(2), conn=session)
        session.execute(orders.insert, {"key": "b"})
        assert store.stream_version(stream, conn=session) == 2
        assert store.stream_version(stream) == 1
    with pytest.raises(ZeroDivisionError), Session(engine) as session, session.begin():
        session.execute(orders.insert, {"key": "c"})
        store.write(stream, Paid(3), conn=session)
        raise ZeroDivisionError
    assert (orders.count(), store.stream_version(stream)) == (2, 2)


def test_a_connection_taken_out_before_a_transaction_is_refused(
    store: Store, engine: Engine, stream: str
) -> None:
    """SQLAlchemy would not know of the transaction: `commit()` would commit nothing."""
    with engine.connect() as conn:
        raw = raw_of(conn)
        for _ in range(2):
            with pytest.raises(InvalidArgumentError, match="taken out of SQLAlchemy's"):
                store.write(stream, Paid(1), conn=raw)
            store.write(stream, Paid(1), conn=conn)
            conn.commit()
        with raw.transaction():
            store.write(stream, Paid(1), conn=raw)
    assert store.stream_version(stream) == 3


def test_a_connection_taken_out_in_a_transaction_is_committed_with_it(
    store: Store, engine: Engine, stream: str
) -> None:
    with Session(engine) as session:
        session.execute(text("SELECT"))
        store.write(stream, Paid(1), conn=raw_of(session.connection()))
        session.commit()
    assert store.stream_version(stream) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_conflict_that_is_caught_makes_the_commit_fail(
    store: Store, engine: Engine, stream: str, orders: Orders, way: str
) -> None:
    conn = opened(way, engine)
    orders.add("a", conn)
    with pytest.raises(OptimisticConcurrencyError):
        store.write(stream, Paid(1), expected_version=77, conn=conn)
    with pytest.raises(TransactionFailedError):
        conn.commit()
    conn.rollback()
    assert orders.count() == 0
    # The same object is good again afterwards.
    orders.add("b", conn)
    store.write(stream, Paid(1), expected_version=0, conn=conn)
    conn.commit()
    conn.close()
    assert (orders.count(), store.stream_version(stream)) == (1, 1)


def test_a_block_in_which_a_conflict_was_caught_raises(
    store: Store, engine: Engine, stream: str, orders: Orders
) -> None:
    with pytest.raises(TransactionFailedError), Session(engine) as session, session.begin():
        session.execute(orders.insert, {"key": "a"})
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(1), expected_version=77, conn=session)
    with pytest.raises(TransactionFailedError), engine.begin() as conn:
        conn.execute(orders.insert, {"key": "a"})
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(1), expected_version=77, conn=conn)
    assert orders.count() == 0


def test_a_block_that_is_rolled_back_after_a_conflict_ends_normally(
    store: Store, engine: Engine, stream: str
) -> None:
    with Session(engine) as session, session.begin():
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(1), expected_version=77, conn=session)
        session.rollback()


def test_an_argument_that_is_refused_before_the_server_leaves_the_transaction_alone(
    store: Store, engine: Engine, stream: str, orders: Orders
) -> None:
    with Session(engine) as session, session.begin():
        session.execute(orders.insert, {"key": "a"})
        with pytest.raises(InvalidArgumentError):
            store.write(stream, "no message", conn=session)  # type: ignore[arg-type]
    assert orders.count() == 1


@pytest.mark.parametrize("taken", ["before", "inside", "never"])
def test_after_an_error_in_a_savepoint_the_transaction_continues(
    store: Store, engine: Engine, stream: str, orders: Orders, taken: str
) -> None:
    with Session(engine) as session, session.begin():
        conn: Any = session
        if taken == "before":
            conn = raw_of(session.connection())
        session.execute(orders.insert, {"key": "a"})
        with pytest.raises(OptimisticConcurrencyError), session.begin_nested():
            if taken == "inside":
                conn = raw_of(session.connection())
            session.execute(orders.insert, {"key": "lost"})
            store.write(stream, Paid(1), expected_version=77, conn=conn)
        store.write(stream, Paid(1), expected_version=0, conn=conn)
    assert (orders.count(), store.stream_version(stream)) == (1, 1)


def test_a_conflict_caught_in_a_savepoint_raises_at_its_end(
    store: Store, engine: Engine, stream: str, orders: Orders
) -> None:
    with engine.connect() as conn:
        conn.execute(orders.insert, {"key": "a"})
        savepoint = conn.begin_nested()
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(1), expected_version=77, conn=conn)
        with pytest.raises(sqlalchemy.exc.InternalError):  # it cannot be released
            savepoint.commit()
        # SQLAlchemy then rolls the savepoint back no more.
        with pytest.raises(TransactionFailedError):
            conn.commit()
    assert orders.count() == 0


def test_decide_in_a_session_decides_again_after_a_conflict(
    store: Store, engine: Engine, stream: str
) -> None:
    decider = store.decider(lambda state, paid: state + paid.amount, int)
    with Session(engine) as session, session.begin():
        decider.decide(stream, lambda state: Paid(state + 1), conn=session)
        decider.decide(stream, lambda state: [Paid(state + 1)] * 2, conn=session)
        assert decider.load(stream, conn=session).state == 5
        with pytest.raises(ZeroDivisionError):
            decider.decide(stream, lambda state: Paid(state // 0), conn=session)
    assert decider.load(stream).version == 3


def test_every_operation_takes_a_session(store: Store, engine: Engine, stream: str) -> None:
    committed = store.write(f"{stream}b", Paid(0))
    with Session(engine) as session:
        position = store.write(stream, Paid(1), conn=session)
        found = list(store.read(stream, conn=session))
        assert [each.message for each in found] == [Paid(1)]
        assert store.last(stream, conn=session) == found[0]
        assert store.get(found[0].message_id, conn=session) == found[0]
        everything = [each.global_position for each in store.read_all(conn=session)]
        assert committed.global_position in everything
        assert len(store.positions(stream, conn=session)) == 1
        message_id = store.schedule(stream, Paid(2), timedelta(days=1), conn=session)
        assert store.cancel(message_id, conn=session)
        assert position.version == 1
        session.rollback()
    assert store.stream_version(stream) == 0


def test_apply_gives_handlers_the_connection_under_a_session(
    store: Store, engine: Engine, stream: str, orders: Orders
) -> None:
    subscription = store.subscription("apply")
    given = []

    @subscription.handler
    def handle(stored: StoredMessage[Paid], conn: psycopg.Connection[Any]) -> None:
        given.append(conn)

    with Session(engine) as session, session.begin():
        store.write(stream, Paid(1), conn=session)
        last = store.last(stream, conn=session)
        assert last is not None
        subscription.apply([last], session)
        assert given == [raw_of(session.connection())]


def test_objects_that_wait_in_a_session_are_not_flushed_by_a_write(
    store: Store, engine: Engine, stream: str
) -> None:
    """As `session.connection().execute(…)`: flush() before, for an id that the server gives."""
    with Session(engine) as session, session.begin():
        flushed = []
        sync: Any = getattr(session, "sync_session", session)
        sqlalchemy.event.listen(sync, "before_flush", lambda *_: flushed.append(1))
        store.write(stream, Paid(1), conn=session)
        assert flushed == []


def test_connections_go_back_to_the_pool(
    store: Store, open_engine: OpenEngine, stream: str
) -> None:
    engine = open_engine(pool_size=1, max_overflow=0, pool_timeout=1)
    for version in range(3):
        with Session(engine) as session:
            store.write(stream, Paid(1), expected_version=version, conn=session)
            session.commit()
            assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
            with pytest.raises(OptimisticConcurrencyError):
                store.write(stream, Paid(1), expected_version=77, conn=session)
    assert store.stream_version(stream) == 3


def test_an_engine_in_autocommit_commits_each_write(
    store: Store, open_engine: OpenEngine, stream: str
) -> None:
    engine = open_engine(isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        store.write(stream, Paid(1), conn=conn)
        assert store.stream_version(stream) == 1
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(1), expected_version=77, conn=conn)
        store.write(stream, Paid(2), conn=conn)
        conn.commit()
    assert store.stream_version(stream) == 2


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_other_isolation_levels_are_kept(
    store: Store, engine: Engine, stream: str, level: Any
) -> None:
    with Session(engine) as session:
        session.connection(execution_options={"isolation_level": level})
        store.write(stream, Paid(1), conn=session)
        shown = session.execute(text("SHOW transaction_isolation"))
        assert shown.scalar_one() == level.lower()
        session.commit()
    assert store.stream_version(stream) == 1


def test_what_is_read_does_not_depend_on_the_engines_adapters(
    store: Store, open_engine: OpenEngine, stream: str
) -> None:
    engine = open_engine(json_deserializer=lambda _: "other", json_serializer=lambda _: "{}")
    with Session(engine) as session:
        raw = raw_of(session.connection())
        set_json_loads(lambda _: "another", raw)
        store.write(stream, Paid(7), metadata={"a": [1]}, tags=["x"], conn=session)
        found = store.last(stream, conn=session)
        assert found is not None
        session.commit()
    assert found == store.last(stream)
    assert (found.message, found.metadata, found.tags) == (Paid(7), {"a": [1]}, ("x",))


def test_a_lost_connection_is_an_error_and_the_session_connects_again(
    store: Store, engine: Engine, stream: str
) -> None:
    with Session(engine) as session:
        store.write(stream, Paid(1), conn=session)
        raw = raw_of(session.connection())
        with engine.connect() as other:
            other.execute(
                text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": raw.info.backend_pid}
            )
        with pytest.raises(psycopg.OperationalError):
            store.write(stream, Paid(2), conn=session)
        with pytest.raises(sqlalchemy.exc.OperationalError):
            session.commit()
        session.rollback()
        store.write(stream, Paid(3), conn=session)
        session.commit()
    assert store.stream_version(stream) == 1


def test_a_session_without_autobegin_says_so(store: Store, engine: Engine, stream: str) -> None:
    session = Session(engine, autobegin=False)
    with pytest.raises(sqlalchemy.exc.InvalidRequestError):
        store.write(stream, Paid(1), conn=session)
    session.close()


@pytest.mark.parametrize("which", ["pooled", "engine"])
def test_what_is_no_connection_is_refused_with_what_to_pass(
    store: Store, engine: Engine, stream: str, which: str
) -> None:
    with engine.connect() as conn:
        other: Any = pooled(conn) if which == "pooled" else engine
        with pytest.raises(InvalidArgumentError, match=r"Connection or Session|engine\.begin\(\)"):
            store.write(stream, Paid(1), conn=other)
    assert store.stream_version(stream) == 0


def test_sessions_that_conflict_are_independent(store: Store, engine: Engine, stream: str) -> None:
    with engine.connect() as first, engine.connect() as second:
        store.write(stream, Paid(1), expected_version=0, conn=first)
        first.commit()
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(1), expected_version=0, conn=second)
        store.write(stream, Paid(2), conn=first)
        first.commit()
        with pytest.raises(TransactionFailedError):
            second.commit()
    assert store.stream_version(stream) == 2
