# Generated from tests/client/_async/conftest.py by `python tools/unasync.py`.

"""Stores and connections that are closed after the test."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgstore import MessageStore
from tests.client.messages import EventA, EventB


class OpenStore(Protocol):
    """Open a store: the shared one on the test database, unless told otherwise."""

    def __call__(
        self, messages: Any = EventA | EventB, conninfo: Any = None, **options: Any
    ) -> MessageStore[Any]: ...


class OpenConnection(Protocol):
    """Open a connection, in autocommit mode unless told otherwise; ``params`` are libpq's."""

    def __call__(self, *, autocommit: bool = True, **params: str) -> psycopg.Connection[Any]: ...


@pytest.fixture
def open_store(conninfo: str, shared: str) -> Iterator[OpenStore]:
    with ExitStack() as opened:

        def open_store(
            messages: Any = EventA | EventB, conninfo: Any = conninfo, **options: Any
        ) -> MessageStore[Any]:
            options.setdefault("store", shared)
            store = MessageStore[Any](conninfo, messages=messages, **options)
            return opened.enter_context(store)

        yield open_store


@pytest.fixture
def store(open_store: OpenStore) -> MessageStore[Any]:
    """The shared store, with the messages ``EventA | EventB``."""
    return open_store()


@pytest.fixture
def open_connection(conninfo: str) -> Iterator[OpenConnection]:
    with ExitStack() as opened:

        def open_connection(*, autocommit: bool = True, **params: str) -> psycopg.Connection[Any]:
            conn = psycopg.Connection.connect(
                make_conninfo(conninfo, **params), autocommit=autocommit
            )
            return opened.enter_context(conn)

        yield open_connection
