# Generated from tests/client/_async/test_outages.py by `python tools/unasync.py`.

"""A server that is away, silent, or not the right one: what runs on waits, and is back at once."""

import os
import signal
import time
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout

from pgstore import MessageStore, Subscription
from tests.client._sync.conftest import OpenStore
from tests.client._sync.running import running
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.proxy import Proxy
from tests.client.waiting import Watch
from tests.conftest import Connect

pytestmark = pytest.mark.filterwarnings("error")

Store = MessageStore[Any]
Transaction = psycopg.Connection[Any]

# psycopg_pool's own attempts come after 1, 3 and 7 seconds.
OUTAGE = 3.3


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The texts of what pgstore has logged, without the reasons."""
    texts = [each.getMessage() for each in caplog.records if each.name == "pgstore"]
    return [text.rpartition("; " if text.endswith("passes") else ": ")[2] for text in texts]


def noting(store: Store, category: str, seen: list[int]) -> Subscription[Any]:
    subscription = store.subscription(category, category=category, ignore=["EventB"])

    @subscription.handler
    def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)

    return subscription


def follow(store: Store, category: str, seen: list[int]) -> None:
    for stored in store.follow(category=category):
        number = stored.message.num
        seen.append(number)


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.mark.alone
def test_what_runs_on_is_back_within_a_second_and_tells_once(
    open_store: OpenStore,
    store: Store,
    category: str,
    conninfo: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    followed: list[int] = []
    handled: list[int] = []
    with Proxy.running(conninfo) as proxy:
        through = open_store(conninfo=proxy.conninfo)
        subscription = noting(through, category, handled)
        with Parallel() as parallel:
            parallel.start(
                partial(follow, through, category, followed),
                partial(through.run, subscription, workers=2),
            )
            store.write(f"{category}-1", EventA(1))
            Parallel.until(lambda: followed == handled == [1])
            proxy.go_down()
            parallel.start(partial(through.write, f"{category}-2", EventA(2)))
            time.sleep(OUTAGE)
            proxy.come_up()
            start = time.monotonic()
            # What was not acknowledged before comes again.
            Parallel.until(lambda: set(followed) == set(handled) == {1, 2})
            assert time.monotonic() - start < 1
            Parallel.until(lambda: len(told(caplog)) > 1)
            through.close()
            results = parallel.results()
        assert (results[:2], results[2].version) == ([None, None], 1)
    begin, end = told(caplog)
    assert begin == "waiting until that passes"
    assert end.startswith("works again, after")


def test_run_can_begin_while_the_server_is_away(
    open_store: OpenStore, category: str, conninfo: str
) -> None:
    handled: list[int] = []
    with Proxy.running(conninfo) as proxy:
        store = open_store(conninfo=proxy.conninfo)
        proxy.go_down()
        with running(store, noting(store, category, handled)):
            Parallel.until(lambda: len(store._database.outage._waiting) > 0)
            proxy.come_up()
            store.write(f"{category}-1", EventA(1))
            Parallel.until(lambda: handled == [1])
        store.close()


def test_a_timeout_ends_a_follower_in_an_outage_with_the_reason(
    open_store: OpenStore, category: str, conninfo: str
) -> None:
    with Proxy.running(conninfo) as proxy:
        store = open_store(conninfo=proxy.conninfo)
        store.write(f"{category}-1", EventA(1))
        follower = store.follow(category=category, timeout=0.5)
        assert next(follower).message == EventA(1)
        proxy.go_down()
        start = time.monotonic()
        with pytest.raises(PoolTimeout):
            next(follower)
        assert 0.5 <= time.monotonic() - start < 10
        proxy.come_up()
        assert list(follower) == []
        store.close()


@pytest.mark.parametrize("wakeup", ["listen", "poll"])
def test_a_listening_backend_that_is_stopped_holds_nobody_for_long(
    open_store: OpenStore,
    store: Store,
    category: str,
    conninfo: str,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    wakeup: str,
) -> None:
    monkeypatch.setattr("pgstore._sync.waker._SILENT", 1.5)
    seen: list[int] = []
    with Proxy.running(make_conninfo(conninfo, application_name=watch.name)) as proxy:
        watched = open_store(conninfo=proxy.conninfo, wakeup=wakeup)
        with Parallel() as parallel:
            parallel.start(partial(follow, watched, category, seen))
            store.write(f"{category}-1", EventA(1))
            waker = watched._waker
            Parallel.until(lambda: seen == [1] and waker._waiting == 1)
            Parallel.until(lambda: waker._conn is not None)
            conn = waker._conn
            assert conn is not None
            backend = conn.info.backend_pid
            os.kill(backend, signal.SIGSTOP)
            try:
                store.write(f"{category}-1", EventA(2))
                start = time.monotonic()
                Parallel.until(lambda: seen == [1, 2])
                assert time.monotonic() - start < 10  # not by the default patience
                Parallel.until(lambda: watched._waker._conn not in (None, conn))
            finally:
                os.kill(backend, signal.SIGCONT)
            watched.close()
            assert parallel.results() == [None]


@pytest.mark.parametrize("where", ["idle", "claiming", "in a handler"])
def test_stop_ends_a_run_whose_server_is_silent(
    open_store: OpenStore,
    store: Store,
    category: str,
    conninfo: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    monkeypatch.setattr("pgstore._sync.runner._ANSWER", 0.5)
    handled: list[int] = []
    with Proxy.running(conninfo) as proxy:
        through = open_store(conninfo=proxy.conninfo)
        subscription = through.subscription(category, category=category, retry_delay=0)

        @subscription.handler
        def note(message: EventA, tx: Transaction) -> None:
            handled.append(message.num)
            if where == "in a handler" and message.num == 2:
                proxy.freeze(new=True)
                tx.execute("SELECT 1")

        with Parallel() as parallel:
            parallel.start(lambda: through.run(subscription, workers=2, lease=1))
            store.write(f"{category}-1", EventA(1))
            Parallel.until(lambda: handled == [1])
            if where != "in a handler":
                Parallel.until(lambda: through._waker._waiting == 2)
                proxy.freeze(new=True)
            if where != "idle":
                store.write(f"{category}-1", EventA(2))
                through._waker.ring()
            if where == "in a handler":
                Parallel.until(lambda: handled == [1, 2])
            (runner,) = through._runners
            if where == "claiming":
                Parallel.until(lambda: len(runner._database.silence._used) > 0)
            start = time.monotonic()
            assert through.stop() == 1
            assert parallel.results() == [None]
            assert time.monotonic() - start < 8
        through.close()
        assert time.monotonic() - start < 15
    assert not [each for each in caplog.records if each.exc_info]


def test_what_cannot_pass_ends_a_run(open_store: OpenStore, category: str, conninfo: str) -> None:
    store = open_store(conninfo=make_conninfo(conninfo, user=f"nobody {uuid4()}"))
    with pytest.raises(psycopg.OperationalError) as caught:
        store.run(noting(store, category, []))
    assert caught.value.sqlstate is None


def test_a_database_that_is_dropped_ends_a_run_and_a_follower(
    connect: Connect, conninfo: str, category: str
) -> None:
    name = f"dropped {uuid4()}"
    admin = connect(autocommit=True)
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    store = MessageStore[EventA](make_conninfo(conninfo, dbname=name), messages=EventA)
    seen: list[int] = []
    followed: list[int] = []
    with Parallel() as parallel:
        parallel.start(
            partial(store.run, noting(store, category, seen), workers=2),
            partial(follow, store, category, followed),
        )
        store.write(f"{category}-1", EventA(1))
        Parallel.until(lambda: (len(seen), len(followed)) == (1, 1))
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        store._waker.ring()
        results = parallel.results()
    assert [type(error) for error in results] == [psycopg.OperationalError] * 2
    store.close()
