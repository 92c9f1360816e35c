"""read, last, get, get_many, stream_version: which messages, in pages, and what is held."""

import itertools
import tracemalloc
from typing import Any
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgstore import AsyncMessageStore, InvalidArgumentError, MessageNotFoundError, new_message_id
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client.conftest import LARGE, LONG, SMALL
from tests.client.messages import EventA, EventB

Store = AsyncMessageStore[Any]
BOUNDARIES = [0, 1, 99, 100, 101, 1099, 1100, 1101, LONG - 1, LONG, LONG + 1, None]


async def versions(store: Store, stream: str, **options: Any) -> list[int]:
    read = [(stored.version, stored.message) async for stored in store.read(stream, **options)]
    assert all(message == EventA(version) for version, message in read)
    return [version for version, _ in read]


@pytest.mark.parametrize("max_count", BOUNDARIES)
async def test_read_stops_at_the_limit(
    store: Store, long_stream: str, max_count: int | None
) -> None:
    end = LONG if max_count is None else min(max_count, LONG)
    assert await versions(store, long_stream, max_count=max_count) == list(range(1, end + 1))
    backward = await versions(store, long_stream, max_count=max_count, backward=True)
    assert backward == list(range(LONG, LONG - end, -1))


async def test_read_ends_with_to_version(store: Store, long_stream: str) -> None:
    everything = await versions(store, long_stream)
    for last in (0, 1, 99, 100, 101, len(everything), len(everything) + 1):
        assert await versions(store, long_stream, to_version=last) == everything[:last]
    assert await versions(store, long_stream, from_version=3, to_version=5) == [3, 4, 5]
    assert await versions(store, long_stream, from_version=5, to_version=3) == []
    backward = await versions(store, long_stream, from_version=5, to_version=3, backward=True)
    assert backward == [5, 4, 3]
    assert await versions(store, long_stream, to_version=5, max_count=2) == [1, 2]


@pytest.mark.parametrize("first", [-5, 0, 1, 2, 100, 101, 1051, LONG, LONG + 1, 2**63 - 1])
async def test_read_begins_at_from_version(store: Store, long_stream: str, first: int) -> None:
    forward = await versions(store, long_stream, from_version=first)
    assert forward == list(range(max(first, 1), LONG + 1))
    backward = await versions(store, long_stream, from_version=first, backward=True)
    assert backward == list(range(min(first, LONG), 0, -1))
    assert await versions(store, long_stream, from_version=first, max_count=2) == forward[:2]


@pytest.mark.parametrize("length", [99, 100, 101])
async def test_read_ends_where_the_stream_ends(store: Store, stream: str, length: int) -> None:
    await store.write_many(stream, [EventA(number + 1) for number in range(length)])
    assert await versions(store, stream) == list(range(1, length + 1))
    assert await versions(store, stream, backward=True) == list(range(length, 0, -1))


async def test_read_of_an_empty_stream_gives_nothing(store: Store, stream: str) -> None:
    assert await versions(store, stream) == []
    assert await versions(store, stream, backward=True, from_version=10) == []


async def test_read_refuses_wrong_arguments(store: Store, stream: str) -> None:
    wrong: list[dict[str, Any]] = [
        {"max_count": -1},
        {"from_version": 2**63},
        {"from_version": "first"},
        {"stream": ""},
        {"stream": None},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidArgumentError):
            await anext(store.read(**{"stream": stream} | arguments))


async def test_read_is_lazy(store: Store, stream: str, long_stream: str) -> None:
    messages = store.read(stream)  # nothing has been read yet
    await store.write(stream, EventA(1))
    assert (await anext(messages)).message == EventA(1)
    first = await anext(store.read(long_stream))
    assert first.version == 1


async def test_read_sees_what_is_appended_meanwhile(store: Store, stream: str) -> None:
    await store.write_many(stream, [EventA(number + 1) for number in range(150)])
    read = []
    async for stored in store.read(stream):
        read.append(stored.version)
        if stored.version % 50 == 0 and stored.version <= 150:
            await store.write_many(stream, [EventA(0) for _ in range(10)])
    assert read == list(range(1, 171))  # the last page was there already
    backward = []
    async for stored in store.read(stream, backward=True):
        backward.append(stored.version)
        if stored.version % 50 == 0:
            await store.write(stream, EventA(0))
    assert backward == list(range(180, 0, -1))


async def test_read_holds_no_connection_between_messages(
    conninfo: str, open_store: OpenStore, stream: str, long_stream: str
) -> None:
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=1, timeout=5, open=False) as pool:
        store = await open_store(conninfo=pool)
        async for stored in store.read(long_stream):
            if stored.version in (1, 99, 100, 101, 1100, 1101, LONG):
                assert pool.get_stats()["pool_available"] == 1
                await store.write(stream, EventA(1))
        assert await store.stream_version(stream) == 7


async def test_read_holds_no_transaction_between_pages(
    conninfo: str, open_store: OpenStore, open_connection: OpenConnection, long_stream: str
) -> None:
    name = f"reader {uuid4()}"
    watching = await open_connection()
    query = """
        SELECT count(*), count(*) FILTER (WHERE state = 'idle' AND xact_start IS NULL)
        FROM pg_stat_activity WHERE application_name = %s
    """
    store = await open_store(conninfo=make_conninfo(conninfo, application_name=name))
    pool = AsyncConnectionPool(
        make_conninfo(conninfo, application_name=name), min_size=1, open=False
    )
    async with pool:
        for reading in (store, await open_store(conninfo=pool)):
            async for stored in reading.read(long_stream):
                if stored.version in (50, 100, 101, 1100, 1101):
                    cursor = await watching.execute(query, (name,))
                    row = await cursor.fetchone()
                    assert row is not None
                    assert row[0] == row[1] > 0


async def test_read_that_is_left_half_way_holds_nothing(
    conninfo: str, open_store: OpenStore, long_stream: str
) -> None:
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=1, timeout=5, open=False) as pool:
        store = await open_store(conninfo=pool)
        left = [store.read(long_stream) for _ in range(5)]
        assert [(await anext(messages)).version for messages in left] == [1] * 5
        async for stored in store.read(long_stream):
            if stored.version == 300:
                break
        assert await store.stream_version(long_stream) == LONG


async def test_read_needs_the_same_memory_for_any_length(
    store: Store, small_and_large_stream: tuple[str, str]
) -> None:
    peaks = []
    for stream, length in zip(small_and_large_stream, (SMALL, LARGE), strict=True):
        tracemalloc.start()
        try:
            count = 0
            async for stored in store.read(stream):
                count = stored.version
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert count == length
    assert peaks[1] < peaks[0] * 1.2 + 100_000
    assert peaks[1] < 3_000_000


async def test_last_gives_the_last_message(store: Store, stream: str) -> None:
    assert await store.last(stream) is None
    await store.write_many(stream, [EventA(1), EventB("x"), EventA(3)], metadata={"by": "me"})
    last = await store.last(stream)
    assert last is not None
    assert (last.version, last.message, last.metadata) == (3, EventA(3), {"by": "me"})
    of_type = await store.last(stream, type="EventB")
    assert of_type is not None
    assert (of_type.version, of_type.message) == (2, EventB("x"))
    assert await store.last(stream, type="Unheard") is None
    assert await anext(store.read(stream, backward=True)) == last


async def test_get_gives_the_message_with_the_id(store: Store, stream: str) -> None:
    await store.write_many(stream, [EventA(1), EventB("x")], metadata=[None, {"by": "me"}])
    for stored in [message async for message in store.read(stream)]:
        assert await store.get(stored.message_id) == stored


async def test_get_of_an_unknown_id_is_an_error(store: Store) -> None:
    unknown = new_message_id()
    with pytest.raises(MessageNotFoundError) as caught:
        await store.get(unknown)
    assert caught.value.message_id == unknown
    assert isinstance(caught.value, LookupError)
    assert str(caught.value) == f"no message has the id {unknown}"


async def test_get_many_keeps_the_order_and_leaves_out_the_unknown(
    store: Store, stream: str
) -> None:
    await store.write_many(stream, [EventA(number) for number in range(5)])
    stored = {message.message_id: message async for message in store.read(stream)}
    ids = list(reversed(stored))
    asked = [*ids[:2], new_message_id(), ids[0], *ids[2:]]
    found = await store.get_many(iter(asked))
    assert list(found) == ids
    assert found == stored
    assert await store.get_many([]) == {}
    assert await store.get_many([new_message_id()]) == {}


async def test_get_refuses_what_is_no_id(store: Store) -> None:
    wrong: Any = "no id"
    with pytest.raises(InvalidArgumentError):
        await store.get(wrong)
    with pytest.raises(InvalidArgumentError):
        await store.get_many([new_message_id(), wrong])


async def test_stream_version_is_that_of_the_last_message(store: Store, stream: str) -> None:
    assert await store.stream_version(stream) == 0
    for length in itertools.accumulate([1, 2]):
        await store.write_many(stream, [EventA(0)] * (length - await store.stream_version(stream)))
        assert await store.stream_version(stream) == length
