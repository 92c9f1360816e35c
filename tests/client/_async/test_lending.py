"""A reader that waits alone looks on the connection that waits."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgstore import AsyncMessageStore
from pgstore._async.lending import AsyncBorrower
from pgstore._compat.events import AsyncEvent
from pgstore._core.statements import CLAIM_BATCH
from tests.amounts import amount
from tests.client._async.conftest import OpenStore
from tests.client._async.running import running
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = AsyncMessageStore[Any]

KINDS = ["run", "follow"]
# The statements with which they look.
LOOKS = {"run": "claim_batch", "follow": "read_page"}


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
async def watched(
    open_store: OpenStore, conninfo: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """A store whose sessions the test can find; after a notification they do nothing for long."""
    monkeypatch.setattr("pgstore._async.waker._AFTER_YOU", 1.0)
    return await open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))


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
        async def handle(message: EventA) -> None:
            self._note(message.num)

    def _note(self, number: int) -> None:
        session = int(self._store._waker._session or 0)
        self.lent.append(session > 0 and self._look in self._watch.last_query(session))
        self.seen.append(number)

    async def _follow(self) -> None:
        assert self._follower is not None
        async for stored in self._follower:
            self._note(stored.message.num)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if self._follower is None:
            async with running(self._store, self._subscription):
                yield
            return
        async with AsyncParallel() as parallel:
            await parallel.start(self._follow)
            yield
            self._follower.stop()
            assert await parallel.results() == [None]


def is_lent(store: Store) -> bool:
    lending = store._waker.lending
    return not lending.returned.is_set() and lending._offered is None


async def until_lent(store: Store) -> None:
    """Wait until the connection is lent and stays so.

    A loan that begins while another reader leaves can end at once.
    """
    loan = None
    while loan is None or loan is not store._waker.lending.returned or not is_lent(store):
        await AsyncParallel.until(lambda: is_lent(store))
        loan = store._waker.lending.returned
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reader_that_waits_alone_looks_on_the_waiting_connection(
    watched: Store, watch: Watch, category: str, kind: str
) -> None:
    reader = Reader(watched, kind, category, watch)
    async with reader.running():
        for number in range(3):
            await until_lent(watched)
            await watched.write(f"{category}-1", EventA(number))
            await AsyncParallel.until(lambda: len(reader.seen) > number)  # noqa: B023
    assert reader.lent == [True] * 3
    assert watch.count() <= 3  # the pool has two at most: the test writes while the reader reads


@pytest.mark.parametrize("kind", KINDS)
async def test_two_readers_look_on_the_pool_until_one_is_left(
    watched: Store, watch: Watch, category: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._async.runner._LOOK_ANYWAY", 60.0)  # it does not leave for that
    waker = watched._waker
    first = Reader(watched, "follow", category, watch)
    second = Reader(watched, kind, category, watch)

    def wait(position: int) -> bool:
        return waker._waiting == 2 and waker.safe_position >= position

    async with first.running():
        await until_lent(watched)
        async with second.running():
            await AsyncParallel.until(lambda: wait(0))
            for number in range(3):
                written = await watched.write(f"{category}-1", EventA(number))
                await AsyncParallel.until(lambda: wait(written.global_position))  # noqa: B023
                await AsyncParallel.until(
                    lambda: len(first.seen) == len(second.seen) == number + 1  # noqa: B023
                )
        await until_lent(watched)
        await watched.write(f"{category}-1", EventA(3))
        await AsyncParallel.until(lambda: len(first.seen) == 4)
    assert (first.lent, second.lent) == ([False] * 3 + [True], [False] * 3)


@pytest.mark.parametrize("kind", KINDS)
async def test_readers_that_come_and_go_miss_nothing(
    open_store: OpenStore, store: Store, watch: Watch, category: str, kind: str
) -> None:
    """A loan ends in the midst of everything."""
    reading = await open_store()
    first = Reader(reading, kind, category, watch)
    count = 0

    async def write() -> None:
        nonlocal count
        await asyncio.sleep(random.uniform(0, 0.02))
        await store.write(f"{category}-1", EventA(count))
        count += 1
        start = time.monotonic()
        await AsyncParallel.until(lambda: len(first.seen) == count)
        assert time.monotonic() - start < 8  # not by the fallback poll

    async with first.running():
        for _ in range(amount(15, 150)):
            second = Reader(reading, "follow", category, watch)
            async with second.running():
                await asyncio.sleep(random.uniform(0, 0.02))
                await write()
                await AsyncParallel.until(lambda: len(second.seen) == count)  # noqa: B023
            assert second.seen == list(range(count))
            await write()
    assert first.seen == list(range(count))


async def test_a_reader_that_comes_while_another_reads_on_it_looks_by_itself(
    watched: Store, watch: Watch, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Reader(watched, "run", category, watch)
    follower = Reader(watched, "follow", category, watch)
    rows, release = AsyncBorrower.rows, AsyncEvent()

    async def slow(self: AsyncBorrower, statement: str, parameters: Any) -> Any:
        if statement == CLAIM_BATCH and self._conn is not None:
            await release.wait(30)
        return await rows(self, statement, parameters)

    monkeypatch.setattr(AsyncBorrower, "rows", slow)
    async with worker.running():
        await until_lent(watched)
        await watched.write(f"{category}-1", EventA(0))
        await AsyncParallel.until(lambda: watched._waker.lending.reading)
        async with follower.running():
            for number in range(1, 4):
                start = time.monotonic()
                await AsyncParallel.until(lambda: len(follower.seen) == number)  # noqa: B023
                assert time.monotonic() - start < 8  # not by the fallback poll
                await watched.write(f"{category}-1", EventA(number))
            await AsyncParallel.until(lambda: len(follower.seen) == 4)
        assert watched._waker.lending.reading
        release.set()
        await AsyncParallel.until(lambda: worker.seen == [0, 1, 2, 3])


async def test_a_notification_that_has_come_with_an_answer_is_not_lent_away(
    watched: Store, store: Store, watch: Watch, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(watched, "follow", category, watch)
    lend = watched._waker._lend
    written = 0

    async def late(conn: psycopg.AsyncConnection[Any]) -> None:
        nonlocal written
        if written == 0:
            written = 1
            await store.write(f"{category}-1", EventA(0))
            await conn.execute("SELECT")
        await lend(conn)

    monkeypatch.setattr(watched._waker, "_lend", late)
    async with reader.running():
        await AsyncParallel.until(lambda: written == 1)
        start = time.monotonic()
        await AsyncParallel.until(lambda: reader.seen == [0])
        assert time.monotonic() - start < 8  # not by the fallback poll


@pytest.mark.alone
@pytest.mark.parametrize("kind", KINDS)
async def test_a_reader_that_listens_ends_at_once(
    watched: Store, watch: Watch, category: str, kind: str
) -> None:
    reader = Reader(watched, kind, category, watch)
    async with reader.running():
        await until_lent(watched)
        start = time.monotonic()
    assert time.monotonic() - start < 0.4
    assert not is_lent(watched)


async def test_a_lost_connection_that_was_lent_is_made_anew(
    watched: Store, store: Store, watch: Watch, category: str
) -> None:
    reader = Reader(watched, "run", category, watch)
    async with reader.running():
        for number in range(3):
            await until_lent(watched)
            watch.kill()
            await store.write(f"{category}-1", EventA(number))
            await AsyncParallel.until(lambda: len(reader.seen) > number)  # noqa: B023
    assert reader.seen == [0, 1, 2]


async def test_the_connections_of_a_pool_that_was_given_do_the_work(
    open_store: OpenStore, conninfo: str, watch: Watch, category: str
) -> None:
    """They may have been set up for it, with a role for example."""
    address = make_conninfo(conninfo, application_name=watch.name)
    async with AsyncConnectionPool(address, min_size=1, max_size=4, open=False) as pool:
        store = await open_store(conninfo=pool)
        reader = Reader(store, "run", category, watch)
        async with reader.running():
            await AsyncParallel.until(watch.is_asleep)
            await store.write(f"{category}-1", EventA(1))
            await AsyncParallel.until(lambda: reader.seen == [1])
    assert reader.lent == [False]
