"""Django's connections to a database, as a store uses a pool.

They belong to threads. An operation of the store runs on that of its thread, as a query of a model
does: inside of `atomic()` it is part of that transaction.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg import Connection, sql

from pgstore._compat.joining import connected, unwrapped
from pgstore._compat.tasks import at_thread_end
from pgstore._core.frameworks import refuse_async_django, refuse_autocommit_off, refuse_vendor
from pgstore._core.translation import refuse_marked


class DjangoPool:
    """Lends the connection of each thread to one of Django's databases, and never closes it early.

    In a thread of the store's own the connection is closed when the thread ends. One that came
    from Django's pool is given back to that after each use, unless the thread had it already.
    """

    timeout = 30.0

    def __init__(self, wrapper: Any) -> None:
        refuse_vendor(wrapper)
        self._alias: str = wrapper.alias
        refuse_autocommit_off(wrapper)
        self._taken: dict[Connection[Any], bool] = {}

    @property
    def _connections(self) -> Any:
        return sys.modules["django.db"].connections

    @property
    def _wrapper(self) -> Any:
        """That of this thread."""
        return self._connections[self._alias]

    def ambient(self) -> Any:
        """Django's connection if a transaction of the caller's is open in this thread."""
        wrapper = self._wrapper
        is_open = wrapper.in_atomic_block or (
            wrapper.connection is not None and not wrapper.autocommit
        )
        return wrapper if is_open else None

    def permit(self) -> None:
        """Raise where Django refuses to connect: in an event loop, or a test without a database.

        `beside` does not ask Django, and would install the store there.
        """
        self.putconn(self.getconn())

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        wrapper = self._wrapper
        is_new = wrapper.connection is None
        at_thread_end(self._connections.close_all)
        conn = connected(wrapper)
        self._taken[conn] = is_new
        return conn

    def putconn(self, conn: Connection[Any]) -> None:
        self._give_back(self._taken.pop(conn))

    def _give_back(self, is_new: bool) -> None:
        wrapper = self._wrapper
        if is_new and not wrapper.in_atomic_block and getattr(wrapper, "pool", None):
            wrapper.close()

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Connection[Any]]:
        conn = self.getconn(timeout)
        try:
            yield conn
        finally:
            self.putconn(conn)

    def block(self, conn: Connection[Any]) -> AbstractContextManager[None]:
        """Nothing: Django's connection is in autocommit mode, or in a transaction of Django's."""
        return nullcontext()

    def drain(self) -> None:
        """Have this thread connect again."""
        if not self._wrapper.in_atomic_block:
            self._wrapper.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """psycopg's connection in a block of `atomic()`, which queries of models are part of."""
        inside: BaseException | None = None
        is_new = self._wrapper.connection is None
        try:
            with sys.modules["django.db.transaction"].atomic(using=self._alias):
                at_thread_end(self._connections.close_all)
                conn = connected(self._wrapper)
                try:
                    yield conn
                    refuse_marked(conn, self._wrapper.needs_rollback)
                except BaseException as error:
                    inside = error
                    raise
        except Exception as error:
            if error is inside:
                raise
            with unwrapped():
                raise
        finally:
            self._give_back(is_new)

    @contextmanager
    def beside(self) -> Iterator[Connection[Any]]:
        """A connection with Django's settings, which is none of Django's."""
        wrapper = self._wrapper
        options = {
            key: value
            for key, value in wrapper.get_connection_params().items()
            if key not in ("context", "cursor_factory")
        }
        with psycopg.connect(**options, autocommit=True) as conn:
            if role := wrapper.settings_dict["OPTIONS"].get("assume_role"):
                conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            yield conn


async_django_pool, django_pool = refuse_async_django, DjangoPool
