"""Stores that group writes: each keeps every promise that it has alone."""

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    MessageIdInUseError,
    MessagePosition,
    OptimisticConcurrencyError,
    RawMessage,
    StoredMessage,
)
from pgstore._core import groups
from pgstore._core.statements import WRITE, WRITE_GROUP
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client.messages import EventA, Signed
from tests.client.parallel import AsyncParallel
from tests.client.proxy import Proxy
from tests.conftest import Connect
from tests.pgbouncer import MODES, pgbouncer

Store = AsyncMessageStore[Any]
Call = Callable[[], Awaitable[Any]]


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store(EventA | Signed, group_writes=True)


def groups_of(store: Store) -> groups.Groups:
    assert store._grouping is not None
    return store._grouping._groups


async def last_of(store: Store, stream: str) -> StoredMessage[Any]:
    last = await store.last(stream)
    assert last is not None
    return last


async def together(store: Store, *calls: Call) -> Sequence[Any]:
    """Have the calls wait, and then go in one group; the result or the error of each."""
    await store._database.ready()
    waiting = groups_of(store)
    waiting._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
    async with AsyncParallel() as parallel:
        await parallel.start(*calls)
        await AsyncParallel.until(lambda: len(waiting.waiting()) == len(calls))
        waiting._sending.clear()
        waiting.look()
        return await parallel.results()


@pytest.fixture
def transactions(connect: Connect, shared: str) -> Callable[[str], int]:
    """How many transactions have written the messages of streams whose names begin so."""
    conn = connect()
    count = (
        f"SELECT count(DISTINCT m.xmin::text) FROM {shared}.messages AS m"
        f" JOIN {shared}.streams AS s USING (stream_id) WHERE starts_with(s.stream, %s)"
    )

    def transactions(beginning: str) -> int:
        return int(conn.execute(count.encode(), (beginning,)).fetchall()[0][0])

    return transactions


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch, store: Store) -> list[str]:
    """The statements that the store runs on its pool."""
    seen: list[str] = []
    rows = store._database.rows

    async def note(statement: str, *others: Any, **named: Any) -> Any:
        seen.append(statement)
        return await rows(statement, *others, **named)

    monkeypatch.setattr(store._database, "rows", note)
    return seen


async def test_a_write_that_finds_no_other_is_sent_as_without_groups(
    store: Store, stream: str, statements: list[str]
) -> None:
    for n in range(3):
        assert (await store.write(stream, EventA(n), expected_version=n)).version == n + 1
    assert statements == [WRITE] * 3


async def test_writes_that_wait_travel_in_one_transaction(
    store: Store, stream: str, statements: list[str], transactions: Callable[[str], int]
) -> None:
    await store.write(f"{stream}-0", EventA(0))
    results = await together(
        store, *(partial(store.write, f"{stream}-{n}", EventA(n)) for n in range(8))
    )
    assert [each.version for each in results] == [2, *[1] * 7]
    assert statements == [WRITE, WRITE_GROUP]
    assert transactions(f"{stream}-") == 2
    for n, place in enumerate(results):
        last = await last_of(store, f"{stream}-{n}")
        assert (last.message, last.global_position) == (EventA(n), place.global_position)
        assert place == MessagePosition(f"{stream}-{n}", last.version, last.global_position)


async def test_each_has_its_own_expected_version_and_error(
    store: Store, open_store: OpenStore, stream: str
) -> None:
    alone = await open_store()
    await store.write(stream, EventA(0))
    results = await together(
        store,
        partial(store.write, stream, EventA(1), expected_version=7),
        partial(store.write, f"{stream}-a", EventA(1), expected_version=0),
        partial(store.write, f"{stream}-b", EventA(1), expected_version=1),
        partial(store.write, f"{stream}-c", EventA(1), metadata={"by": "Ada"}),
        partial(store.write, "", EventA(1)),
    )
    assert [getattr(each, "version", None) for each in results] == [None, 1, None, 1, None]
    last = await last_of(store, f"{stream}-c")
    assert last.metadata == {"by": "Ada"}
    for error, write in (
        (results[0], partial(alone.write, stream, EventA(1), expected_version=7)),
        (results[2], partial(alone.write, f"{stream}-b", EventA(1), expected_version=1)),
        (results[4], partial(alone.write, "", EventA(1))),
    ):
        with pytest.raises((OptimisticConcurrencyError, InvalidArgumentError)) as caught:
            await write()
        assert type(error) is type(caught.value)
        for attribute in ("args", "detail", "sqlstate", "__notes__", "__cause__"):
            wanted = getattr(caught.value, attribute, None)
            assert getattr(error, attribute, None) == wanted, attribute


async def test_an_error_has_the_traceback_of_its_own_write(store: Store, stream: str) -> None:
    async def first() -> None:
        await store.write(stream, EventA(1), expected_version=1)

    async def second() -> None:
        await store.write(stream, EventA(1), expected_version=2)

    for call, error in zip((first, second), await together(store, first, second), strict=True):
        names = []
        traceback = error.__traceback__
        while traceback is not None:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        assert call.__name__ in names
        assert not {"first", "second"} - {call.__name__} & set(names)


async def test_a_repeated_write_gets_its_first_answer_and_another_is_refused(
    store: Store, stream: str
) -> None:
    message, other = Signed(text="once"), Signed(text="other")
    first = await store.write(stream, message, expected_version=0)
    results = await together(
        store,
        partial(store.write, stream, message, expected_version=0),
        partial(store.write, stream, message),
        partial(store.write, f"{stream}-other", message),
        partial(store.write, f"{stream}-2", other),
        partial(store.write, f"{stream}-2", other, expected_version=0),
    )
    assert results[0] == results[1] == first
    assert isinstance(results[2], MessageIdInUseError)
    assert results[3] == results[4] == MessagePosition(f"{stream}-2", 1, results[3].global_position)


async def test_messages_of_one_stream_keep_their_order(
    store: Store, stream: str, statements: list[str], transactions: Callable[[str], int]
) -> None:
    calls = [partial(store.write, stream, EventA(n)) for n in range(8)]
    results = await together(store, *calls)
    assert sorted(each.version for each in results) == list(range(1, 9))
    assert (statements, transactions(stream)) == ([WRITE_GROUP], 1)
    stored = [each async for each in store.read(stream)]
    assert sorted(each.message.num for each in stored) == list(range(8))
    for number, place in enumerate(results):
        assert stored[place.version - 1].message == EventA(number)


async def test_names_may_have_line_breaks(store: Store, stream: str) -> None:
    raw = store.raw
    await together(
        store,
        partial(raw.write, f"{stream}-a", RawMessage("A", b'{\n"a": "\\n"}'), metadata={"b": "\n"}),
        partial(raw.write, f"{stream}-b", RawMessage("B", b'"\\n"')),
    )
    waiting = groups_of(store)
    waiting._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
    start = time.monotonic()
    assert (await store.write(f"{stream}\n-1", EventA(1))).version == 1  # waits for no group
    assert time.monotonic() - start < 8
    waiting._sending.clear()
    last = await last_of(raw, f"{stream}-a")
    assert (last.message.data, last.metadata) == (b'{"a": "\\n"}', {"b": "\n"})


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
async def test_what_the_driver_refuses_is_one_writes_error(
    store: Store, stream: str, bad: str
) -> None:
    results = await together(
        store,
        partial(store.write, f"{stream}{bad}", EventA(1)),
        partial(store.write, stream, EventA(1)),
        partial(store.write, f"{stream}-2", EventA(1)),
    )
    assert isinstance(results[0], InvalidArgumentError)
    assert [each.version for each in results[1:]] == [1, 1]


async def test_writes_on_the_callers_connection_are_not_grouped(
    store: Store, stream: str, statements: list[str]
) -> None:
    waiting = groups_of(store)
    waiting._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
    async with store.transaction() as conn:
        assert (await store.write(stream, EventA(1), conn=conn)).version == 1
        assert (await store.write_many(f"{stream}-2", [EventA(1)])).version == 1
    waiting._sending.clear()


async def test_a_stream_that_a_transaction_holds_stops_no_other_write(
    store: Store, stream: str, open_connection: OpenConnection
) -> None:
    """Neither those of a group with one to that stream, nor later ones."""
    other = await open_connection(autocommit=False)
    held = [f"{stream}-held{n}" for n in range(groups.AT_ONCE)]
    async with AsyncParallel() as parallel:
        for each in held:
            await store.write(each, EventA(0), conn=other)
        await parallel.start(*(partial(store.write, each, EventA(1)) for each in held))
        await AsyncParallel.until(lambda: len(groups_of(store)._streams) == len(held))
        start = time.monotonic()
        assert (await store.write(stream, EventA(1))).version == 1
        assert time.monotonic() - start < 8  # a lone write after 10 s
        await other.rollback()
        assert [each.version for each in await parallel.results()] == [1] * len(held)


async def test_a_group_with_a_stream_that_a_transaction_holds_stores_all_others(
    store: Store, stream: str, open_connection: OpenConnection
) -> None:
    other = await open_connection(autocommit=False)
    await store.write(f"{stream}-held", EventA(0), conn=other)
    ended: list[int] = []

    async def write(n: int) -> Any:
        result = await store.write(f"{stream}-{'held' if n == 1 else n}", EventA(n))
        ended.append(n)
        if len(ended) == 3:
            await other.rollback()
        return result

    results = await together(store, *(partial(write, n) for n in range(4)))
    assert [each.version for each in results] == [1] * 4
    assert ended[-1] == 1


async def test_an_id_that_is_not_committed_stops_no_other_write_for_long(
    store: Store, stream: str, open_connection: OpenConnection, statements: list[str]
) -> None:
    other = await open_connection(autocommit=False)
    message = Signed(text="held")
    await store.write(f"{stream}-held", message, conn=other)
    ended: list[int] = []

    async def write(n: int) -> Any:
        result = await store.write(f"{stream}-{n}", message if n == 1 else EventA(n))
        ended.append(n)
        if len(ended) == 3:
            await other.rollback()
        return result

    results = await together(store, *(partial(write, n) for n in range(4)))
    assert [each.version for each in results] == [1] * 4
    assert ended[-1] == 1
    assert sorted(statements[1:]) == sorted([WRITE_GROUP, *[WRITE] * 4])


async def test_two_groups_with_the_same_ids_in_opposite_order_end(
    open_store: OpenStore, stream: str
) -> None:
    """Each waits for an id of the other: PostgreSQL ends one, whose writes are sent singly."""
    stores = [await open_store(Signed, group_writes=True) for _ in range(2)]
    for turn in range(4):
        messages = [Signed(text=str(n)) for n in range(4)]
        orders = [messages, messages[::-1]]

        async def group(n: int, turn: int = turn, orders: Any = orders) -> Any:
            return await together(
                stores[n],
                *(
                    partial(stores[n].write, f"{stream}-{turn}-{n}-{each.text}", each)
                    for each in orders[n]
                ),
            )

        for n, results in enumerate([await group(0), await group(1)]):
            assert {type(each) for each in results} == {(MessagePosition, MessageIdInUseError)[n]}


async def test_a_group_whose_answer_is_lost_is_repeated(
    open_store: OpenStore, conninfo: str, stream: str
) -> None:
    with Proxy.running(conninfo) as proxy:
        store = await open_store(conninfo=proxy.conninfo, group_writes=True)
        proxy.lose_answer_to(b"write_group")
        results = await together(
            store, *(partial(store.write, f"{stream}-{n % 5}", EventA(n)) for n in range(8))
        )
        assert proxy.lost == 1
        assert sorted(each.version for each in results) == [1] * 5 + [2] * 3
        for n, place in enumerate(results):
            stored = [each async for each in store.read(f"{stream}-{n % 5}")]
            assert stored[place.version - 1].message == EventA(n)
            assert stored[place.version - 1].global_position == place.global_position
        assert sum([await store.stream_version(f"{stream}-{n}") for n in range(5)]) == 8
        await store.aclose()


async def test_a_group_that_finds_no_server_fails_each_write_once(
    open_store: OpenStore, conninfo: str, shared: str, stream: str
) -> None:
    async with AsyncConnectionPool(
        conninfo, min_size=1, max_size=1, timeout=0.5, open=False
    ) as pool:
        store = await open_store(conninfo=pool, group_writes=True)
        await store._database.ready()
        async with pool.connection():
            results = await together(
                store, *(partial(store.write, f"{stream}-{n}", EventA(n)) for n in range(5))
            )
        assert {type(each) for each in results} == {PoolTimeout}
        assert len(set(map(id, results))) == 5
        assert (await store.write(f"{stream}-1", EventA(1))).version == 1


async def test_closing_waits_for_writes_that_wait(store: Store, stream: str) -> None:
    await store.stream_version(stream)
    waiting = groups_of(store)
    waiting._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
    async with AsyncParallel() as parallel:
        calls = [partial(store.write, f"{stream}-{n}", EventA(n)) for n in range(6)]
        await parallel.start(*calls)
        await AsyncParallel.until(lambda: len(waiting.waiting()) == len(calls))
        await parallel.start(store.aclose)
        await asyncio.sleep(0.05)
        waiting._sending.clear()
        waiting.look()
        results = await parallel.results()
    assert [each.version for each in results[:-1]] == [1] * 6
    assert store._database.source._pool is None  # no write has opened a new one


async def test_stores_on_the_same_connections_send_their_writes_together(
    store: Store, stream: str, statements: list[str]
) -> None:
    other = AsyncMessageStore[Signed](store, messages=Signed)
    results = await together(
        store,
        partial(store.write, f"{stream}-1", EventA(1)),
        partial(other.write, f"{stream}-2", Signed(text="2")),
        partial(store.raw.write, f"{stream}-3", RawMessage("A", b"3")),
    )
    assert [each.version for each in results] == [1] * 3
    assert statements == [WRITE_GROUP]
    with pytest.raises(InvalidArgumentError, match="group_writes"):
        AsyncMessageStore(store, messages=Signed, group_writes=True)


async def test_a_pool_of_one_connection_is_enough(
    open_store: OpenStore, conninfo: str, stream: str
) -> None:
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=1, open=False) as pool:
        store = await open_store(conninfo=pool, group_writes=True)
        async with AsyncParallel() as parallel:
            await parallel.start(
                *(partial(store.write, f"{stream}-{n % 7}", EventA(n)) for n in range(40))
            )
            results = await parallel.results()
        assert sum(each.version == 1 for each in results) == 7


@pytest.mark.parametrize("mode", MODES)
async def test_groups_pass_a_pooler(
    server_conninfo: str, open_store: OpenStore, stream: str, mode: str
) -> None:
    with pgbouncer(server_conninfo, mode) as pooled:
        threshold = 5 if mode == "session" else None
        store = await open_store(conninfo=pooled, prepare_threshold=threshold, group_writes=True)
        for turn in range(12):
            results = await together(
                store, *(partial(store.write, f"{stream}-{n}", EventA(n)) for n in range(4))
            )
            assert [each.version for each in results] == [turn + 1] * 4
        await store.aclose()


async def test_a_restricted_role_gets_its_errors_for_its_own_writes(
    connect: Connect, open_store: OpenStore, conninfo: str, schema: str
) -> None:
    role = f"role_{uuid4().hex[:12]}"
    store = await open_store(store=schema)
    await store.write("account-1", EventA(1))
    conn = connect()
    conn.execute(f"CREATE ROLE {role} LOGIN".encode())
    try:
        conn.execute(f"SELECT {schema}.grant_access(%s, 'write', '{{mine}}')".encode(), (role,))
        writer = await open_store(
            conninfo=make_conninfo(conninfo, user=role),
            store=schema,
            create=False,
            group_writes=True,
        )
        waiting = groups_of(writer)
        await writer.write("mine-0", EventA(0))
        waiting._sending = dict.fromkeys(range(groups.AT_ONCE), math.inf)
        names = ["mine-1", "account-1", "mine-0", "other-1"]
        async with AsyncParallel() as parallel:
            await parallel.start(*(partial(writer.write, each, EventA(1)) for each in names))
            await AsyncParallel.until(lambda: len(waiting.waiting()) == len(names))
            waiting._sending.clear()
            waiting.look()
            results = await parallel.results()
        await writer.aclose()
        assert [getattr(each, "version", None) for each in results] == [1, None, 2, None]
        assert {type(results[n]) for n in (1, 3)} == {psycopg.errors.InsufficientPrivilege}
    finally:
        conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_many_writers_of_few_streams(
    store: Store, stream: str, connect: Connect, shared: str
) -> None:
    """What was answered is what is stored: no gap, nothing twice, each at its expected version."""
    chance = random.Random(stream)
    answered: dict[UUID, tuple[str, int, int]] = {}
    refused = 0

    async def task(number: int) -> None:
        nonlocal refused
        for _ in range(20):
            name = f"{stream}-{chance.randrange(6)}"
            expected = chance.choice([None, None, chance.randrange(60)])
            message = Signed(text=str(number))
            try:
                place = await store.write(name, message, expected_version=expected)
            except OptimisticConcurrencyError as error:
                refused += error.expected_version == expected != error.actual_version
                continue
            assert expected in (None, place.version - 1)
            answered[message.event_id] = (name, place.version, place.global_position)
            if chance.random() < 0.2:
                again = await store.write(name, message, expected_version=place.version - 1)
                assert again == place

    async with AsyncParallel() as parallel:
        await parallel.start(*(partial(task, n) for n in range(AsyncParallel.MANY)))
        assert set(await parallel.results()) == {None}
    rows = (
        connect()
        .execute(
            f"SELECT message_id, stream, version, global_position FROM {shared}.all_messages"
            " WHERE starts_with(stream, %s)".encode(),
            (f"{stream}-",),
        )
        .fetchall()
    )
    assert {row[0]: row[1:] for row in rows} == answered
    assert refused > 0
    streams = defaultdict(list)
    for _, name, version, position in rows:
        streams[name].append((version, position))
    for places in streams.values():
        places.sort()
        assert [version for version, _ in places] == list(range(1, len(places) + 1))
        assert [position for _, position in places] == sorted(position for _, position in places)
