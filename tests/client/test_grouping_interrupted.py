"""Writes of a group whose task is cancelled, or whose thread is interrupted: no other is lost."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolClosed

import pgstore
from pgstore import AsyncMessageStore, MessagePosition, MessageStore
from pgstore._core import groups
from pgstore._core.statements import WRITE_GROUP
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel, Parallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = AsyncMessageStore[Any]


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
async def store(conninfo: str, schema: str, watch: Watch) -> AsyncIterator[Store]:
    """A store of its own, whose groups wait for long."""
    address = make_conninfo(conninfo, application_name=watch.name)
    async with Store(address, store=schema, messages=EventA, group_writes=True) as store:
        await store.write("account-1", EventA(0))
        async with store.transaction() as conn:
            await conn.execute(
                f"ALTER ROUTINE {schema}.write_group SET lock_timeout = '20s'".encode()
            )
        yield store


def groups_of(store: Any) -> groups.Groups:
    found: groups.Groups = store._grouping._groups
    return found


async def waiting(store: Store, count: int) -> list["asyncio.Task[MessagePosition]"]:
    """Tasks whose writes wait to be sent."""
    found = groups_of(store)
    found._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
    tasks = [asyncio.create_task(store.write(f"a-{n}", EventA(n))) for n in range(count)]
    await AsyncParallel.until(lambda: len(found.waiting()) == count)
    return tasks


def free(store: Store) -> None:
    groups_of(store)._sending.clear()
    groups_of(store).look()


def is_idle(store: Any) -> bool:
    found = groups_of(store)
    return (found._streams, found._sending, found.waiting()) == ({}, {}, [])


async def versions(store: Store, count: int) -> list[int]:
    return [await store.stream_version(f"a-{n}") for n in range(count)]


@pytest.mark.parametrize("cancelled", [[0], [1], [3], [0, 1, 2], [0, 1, 2, 3]])
async def test_a_write_that_is_cancelled_while_it_waits_is_not_stored(
    store: Store, cancelled: list[int]
) -> None:
    tasks = await waiting(store, 4)
    for n in cancelled:
        tasks[n].cancel()
    await asyncio.sleep(0)
    free(store)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, MessagePosition) for each in results] == [
        n not in cancelled for n in range(4)
    ]
    assert await versions(store, 4) == [int(n not in cancelled) for n in range(4)]
    assert is_idle(store)


async def test_a_write_that_is_cancelled_as_it_gets_its_turn_hands_it_on(store: Store) -> None:
    tasks = await waiting(store, 4)
    free(store)
    tasks[0].cancel()  # before it can have begun
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [each.version for each in results[1:] if isinstance(each, MessagePosition)] == [1] * 3
    assert is_idle(store)


@pytest.mark.parametrize("cancelled", [[0], [2], [0, 1, 2, 3]])
async def test_a_group_outlives_the_tasks_that_are_cancelled_while_it_is_on_its_way(
    store: Store, watch: Watch, conninfo: str, schema: str, cancelled: list[int]
) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as blocking:
        await blocking.execute(f"LOCK TABLE {schema}.messages".encode())
        tasks = await waiting(store, 4)
        free(store)
        await AsyncParallel.until(watch.is_blocked)
        for n in cancelled:
            tasks[n].cancel()
        await asyncio.sleep(0.01)
        assert [each.done() for each in tasks] == [n in cancelled for n in range(4)]
        await blocking.rollback()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for n, result in enumerate(results):
        assert isinstance(result, asyncio.CancelledError if n in cancelled else MessagePosition)
    await AsyncParallel.until(lambda: is_idle(store))
    assert await versions(store, 4) == [1] * 4


async def test_a_write_that_is_sent_again_does_not_open_a_store_that_was_closed(
    store: Store, watch: Watch, conninfo: str, schema: str
) -> None:
    await store.write("a-0", EventA(0))
    async with await psycopg.AsyncConnection.connect(conninfo) as blocking:
        await blocking.execute(f"LOCK TABLE {schema}.messages".encode())
        tasks = await waiting(store, 3)
        tasks.append(asyncio.create_task(store.write("a-3", EventA(3), expected_version=9)))
        await AsyncParallel.until(lambda: len(groups_of(store).waiting()) == 4)
        free(store)
        await AsyncParallel.until(watch.is_blocked)
        await store.aclose()
        await blocking.rollback()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [*[MessagePosition] * 3, PoolClosed]
    assert store._database.source._pool is None


async def test_tasks_that_are_cancelled_at_any_moment_lose_no_others(store: Store) -> None:
    chance = random.Random(1)
    answered: list[tuple[str, int]] = []

    async def task(number: int) -> None:
        for n in range(15):
            place = await store.write(f"a-{chance.randrange(9)}", EventA(100 * number + n))
            answered.append((place.stream, place.version))

    tasks = [asyncio.create_task(task(n)) for n in range(60)]
    for each in chance.sample(tasks, 30):
        await asyncio.sleep(chance.random() * 0.01)
        each.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in results} == {type(None), asyncio.CancelledError}
    await AsyncParallel.until(lambda: is_idle(store))
    stored = {(each.stream, each.version) async for each in store.read_category("a")}
    assert len(set(answered)) == len(answered)
    assert set(answered) <= stored
    for n in range(9):
        versions = sorted(version for stream, version in stored if stream == f"a-{n}")
        assert versions == list(range(1, len(versions) + 1))


def test_a_thread_that_is_interrupted_while_it_sends_a_group_loses_no_others(
    conninfo: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        MessageStore[Any](conninfo, store=schema, messages=EventA, group_writes=True) as store,
        Parallel() as parallel,
    ):
        store.write("account-1", EventA(0))
        found = groups_of(store)
        found._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
        parallel.start(*(partial(store.write, f"a-{n}", EventA(n)) for n in range(6)))
        Parallel.until(lambda: len(found.waiting()) == 6)
        rows = store._database.rows

        def interrupted(statement: str, *others: Any, **named: Any) -> Any:
            if statement == WRITE_GROUP:
                raise KeyboardInterrupt
            return rows(statement, *others, **named)

        monkeypatch.setattr(store._database, "rows", interrupted)
        found._sending.clear()
        found.look()
        results = parallel.results()
        ends = sorted(type(each).__name__ for each in results)
        assert ends == ["KeyboardInterrupt", *["MessagePosition"] * 5]
        assert is_idle(store)


def test_writes_do_not_wait_for_ever_for_a_thread_that_has_vanished(
    conninfo: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was interrupted between two instructions."""
    monkeypatch.setattr(pgstore._sync.grouping, "_LOOKS", 3)
    with (
        MessageStore[Any](conninfo, store=schema, messages=EventA, group_writes=True) as store,
        Parallel() as parallel,
    ):
        store.write("account-1", EventA(0))
        found = groups_of(store)
        found._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
        found._streams = {"a-0": {groups.Write([None] * 6)}}
        parallel.start(*(partial(store.write, f"a-{n}", EventA(n)) for n in range(3)))
        assert [each.version for each in parallel.results()] == [1] * 3


def test_a_store_is_usable_in_the_next_loop_after_one_that_was_left(
    conninfo: str, schema: str
) -> None:
    """As far as a store without groups is."""
    ends = []
    for group_writes in (False, True):
        store = Store(conninfo, store=schema, messages=EventA, group_writes=group_writes)

        async def leave(store: Store = store) -> None:
            tasks = [asyncio.create_task(store.write(f"a-{n}", EventA(n))) for n in range(40)]
            await tasks[0]

        async def write(store: Store = store) -> str:
            async with asyncio.timeout(20):
                writes = [store.write(f"b-{n}", EventA(n)) for n in range(40)]
                results = await asyncio.gather(*writes, return_exceptions=True)
                await store.aclose()
            return str({type(each).__name__ for each in results})

        asyncio.run(leave())
        ends.append(asyncio.run(write()))
    assert ends[0] == ends[1]
