# Generated from tests/client/_async/test_lending.py by `python tools/unasync.py`.

"""A reader that waits alone looks on the connection that waits."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from pgstore import MessageStore
from pgstore._compat.events import Event
from pgstore._core.statements import CLAIM_BATCH
from pgstore._sync.lending import Borrower
from tests.amounts import amount
from tests.client._sync.conftest import OpenStore
from tests.client._sync.running import running
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = MessageStore[Any]

KINDS = ["run", "follow"]
# The statements with which they look.
LOOKS = {"run": "claim_batch", "follow": "read_page"}


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
def watched(
    open_store: OpenStore, conninfo: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """A store whose sessions the test can find; after a notification they do nothing for long."""
    monkeypatch.setattr("pgstore._sync.waker._AFTER_YOU", 1.0)
    return open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))


class Reader:
    """A worker or a follower, and what it has seen."""

    def __init__(self, store: Store, kind: str, category: str, watch: Watch) -> None:
        self.seen: list[int] = []
        self.lent: list[bool] = []  # whether it has looked on the waiting connection
        self._store = store
        self._look = LOOKS[kind]
        self._watch = watch
        self._follower = store.follow(category=category) if kind == "follow" else None
        self._subscription = store.subscription(f"{category} {uuid4()}", category=category)

        @self._subscription.handler
        def handle(message: EventA) -> None:
            self._note(message.num)

    def _note(self, number: int) -> None:
        session = int(self._store._waker._session or 0)
        self.lent.append(session > 0 and self._look in self._watch.last_query(session))
        self.seen.append(number)

    def _follow(self) -> None:
        assert self._follower is not None
        for stored in self._follower:
            self._note(stored.message.num)

    @contextmanager
    def running(self) -> Iterator[None]:
        if self._follower is None:
            with running(self._store, self._subscription):
                yield
            return
        with Parallel() as parallel:
            parallel.start(self._follow)
            yield
            self._follower.stop()
            assert parallel.results() == [None]


def is_lent(store: Store) -> bool:
    lending = store._waker.lending
    return not lending.returned.is_set() and lending._offered is None


def until_lent(store: Store) -> None:
    """Wait until the connection is lent and stays so.

    A loan that begins while another reader leaves can end at once.
    """
    loan = None
    while loan is None or loan is not store._waker.lending.returned or not is_lent(store):
        Parallel.until(lambda: is_lent(store))
        loan = store._waker.lending.returned
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_waits_alone_looks_on_the_waiting_connection(
    watched: Store, watch: Watch, category: str, kind: str
) -> None:
    reader = Reader(watched, kind, category, watch)
    with reader.running():
        for number in range(3):
            until_lent(watched)
            watched.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: len(reader.seen) > number)  # noqa: B023
    assert reader.lent == [True] * 3
    assert watch.count() <= 3  # the pool has two at most: the test writes while the reader reads


@pytest.mark.parametrize("kind", KINDS)
def test_two_readers_look_on_the_pool_until_one_is_left(
    watched: Store, watch: Watch, category: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._sync.runner._LOOK_ANYWAY", 60.0)  # it does not leave for that
    waker = watched._waker
    first = Reader(watched, "follow", category, watch)
    second = Reader(watched, kind, category, watch)

    def wait(position: int) -> bool:
        return waker._waiting == 2 and waker.safe_position >= position

    with first.running():
        until_lent(watched)
        with second.running():
            Parallel.until(lambda: wait(0))
            for number in range(3):
                written = watched.write(f"{category}-1", EventA(number))
                Parallel.until(lambda: wait(written.global_position))  # noqa: B023
                Parallel.until(
                    lambda: len(first.seen) == len(second.seen) == number + 1  # noqa: B023
                )
        until_lent(watched)
        watched.write(f"{category}-1", EventA(3))
        Parallel.until(lambda: len(first.seen) == 4)
    assert (first.lent, second.lent) == ([False] * 3 + [True], [False] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_readers_that_come_and_go_miss_nothing(
    open_store: OpenStore, store: Store, watch: Watch, category: str, kind: str
) -> None:
    """A loan ends in the midst of everything."""
    reading = open_store()
    first = Reader(reading, kind, category, watch)
    count = 0

    def write() -> None:
        nonlocal count
        time.sleep(random.uniform(0, 0.02))
        store.write(f"{category}-1", EventA(count))
        count += 1
        start = time.monotonic()
        Parallel.until(lambda: len(first.seen) == count)
        assert time.monotonic() - start < 8  # not by the fallback poll

    with first.running():
        for _ in range(amount(15, 150)):
            second = Reader(reading, "follow", category, watch)
            with second.running():
                time.sleep(random.uniform(0, 0.02))
                write()
                Parallel.until(lambda: len(second.seen) == count)  # noqa: B023
            assert second.seen == list(range(count))
            write()
    assert first.seen == list(range(count))


def test_a_reader_that_comes_while_another_reads_on_it_looks_by_itself(
    watched: Store, watch: Watch, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Reader(watched, "run", category, watch)
    follower = Reader(watched, "follow", category, watch)
    rows, release = Borrower.rows, Event()

    def slow(self: Borrower, statement: str, parameters: Any) -> Any:
        if statement == CLAIM_BATCH and self._conn is not None:
            release.wait(30)
        return rows(self, statement, parameters)

    monkeypatch.setattr(Borrower, "rows", slow)
    with worker.running():
        until_lent(watched)
        watched.write(f"{category}-1", EventA(0))
        Parallel.until(lambda: watched._waker.lending.reading)
        with follower.running():
            for number in range(1, 4):
                start = time.monotonic()
                Parallel.until(lambda: len(follower.seen) == number)  # noqa: B023
                assert time.monotonic() - start < 8  # not by the fallback poll
                watched.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: len(follower.seen) == 4)
        assert watched._waker.lending.reading
        release.set()
        Parallel.until(lambda: worker.seen == [0, 1, 2, 3])


def test_a_notification_that_has_come_with_an_answer_is_not_lent_away(
    watched: Store, store: Store, watch: Watch, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(watched, "follow", category, watch)
    lend = watched._waker._lend
    written = 0

    def late(conn: psycopg.Connection[Any]) -> None:
        nonlocal written
        if written == 0:
            written = 1
            store.write(f"{category}-1", EventA(0))
            conn.execute("SELECT")
        lend(conn)

    monkeypatch.setattr(watched._waker, "_lend", late)
    with reader.running():
        Parallel.until(lambda: written == 1)
        start = time.monotonic()
        Parallel.until(lambda: reader.seen == [0])
        assert time.monotonic() - start < 8  # not by the fallback poll


@pytest.mark.alone
@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_listens_ends_at_once(
    watched: Store, watch: Watch, category: str, kind: str
) -> None:
    reader = Reader(watched, kind, category, watch)
    with reader.running():
        until_lent(watched)
        start = time.monotonic()
    assert time.monotonic() - start < 0.4
    assert not is_lent(watched)


def test_a_lost_connection_that_was_lent_is_made_anew(
    watched: Store, store: Store, watch: Watch, category: str
) -> None:
    reader = Reader(watched, "run", category, watch)
    with reader.running():
        for number in range(3):
            until_lent(watched)
            watch.kill()
            store.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: len(reader.seen) > number)  # noqa: B023
    assert reader.seen == [0, 1, 2]


def test_the_connections_of_a_pool_that_was_given_do_the_work(
    open_store: OpenStore, conninfo: str, watch: Watch, category: str
) -> None:
    """They may have been set up for it, with a role for example."""
    address = make_conninfo(conninfo, application_name=watch.name)
    with ConnectionPool(address, min_size=1, max_size=4, open=False) as pool:
        store = open_store(conninfo=pool)
        reader = Reader(store, "run", category, watch)
        with reader.running():
            Parallel.until(watch.is_asleep)
            store.write(f"{category}-1", EventA(1))
            Parallel.until(lambda: reader.seen == [1])
    assert reader.lent == [False]
