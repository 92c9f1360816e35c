# Generated from tests/frameworks/_async/test_engine_poolers.py by `python tools/unasync.py`.

"""Stores on an engine that leads through PgBouncer, without prepared statements."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from pgstore import MessageStore
from tests.client._sync.everything import MESSAGES, do_everything
from tests.client._sync.running import running
from tests.client._sync.test_poolers import MANY, collect
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.frameworks.engines import Engine, Session, engine_of
from tests.pgbouncer import pgbouncer


@pytest.fixture(scope="module", params=["session", "transaction"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def through(server_conninfo: str, mode: str) -> Iterator[str]:
    with pgbouncer(server_conninfo, mode) as conninfo:
        yield conninfo


@pytest.fixture
def pooled(through: str) -> Any:
    engine = engine_of(through, connect_args={"prepare_threshold": None})
    yield engine
    engine.dispose()


def test_operations_work_again_and_again(pooled: Engine, schema: str, stream: str) -> None:
    with MessageStore[Any](pooled, store=schema, messages=MESSAGES) as store:
        for n in range(MANY):
            do_everything(store, f"{stream}-{n}")
            with Session(pooled) as session, session.begin():
                conn = session.connection()
                assert conn.execute(text("SELECT 1")).scalar_one() == 1
                do_everything(store, f"session-{n}", session, refuse=False)


def test_workers_and_followers_look_once_a_second(
    pooled: Engine, schema: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    with MessageStore[EventA](pooled, store=schema, messages=EventA) as store:
        subscription = store.subscription("all", batch_size=3)
        handled: list[int] = []

        @subscription.handler
        def note(message: EventA, tx: psycopg.Connection[Any]) -> None:
            handled.append(message.num)

        seen: list[int] = []
        with Parallel() as parallel, running(store, subscription):
            parallel.start(partial(collect, store.follow(), seen, 4))
            for n in range(4):
                store.write("a-1", EventA(n))
                Parallel.until(lambda: len(seen) > n and len(handled) > n)  # noqa: B023
            parallel.results()
    assert seen == handled == list(range(4))
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(told) == (0 if mode == "session" else 1), told
