"""Every operation once, for tests about what the operations run on."""

from datetime import UTC
from typing import Any

import pytest

from pgstore import AsyncMessageStore, InvalidArgumentError
from tests.client.messages import EventA, Signed

MESSAGES = EventA | Signed


async def do_everything(
    store: AsyncMessageStore[Any], stream: str, conn: Any = None, *, refuse: bool = True
) -> None:
    """Use each operation and check its answer; the stream has two messages afterwards.

    With ``refuse`` also one that is refused, which ends a transaction.
    """
    meta = {"by": "Ada"}
    signed = Signed(text="Ä 🐢")
    assert await store.stream_version(stream, conn=conn) == 0
    assert await store.last(stream, conn=conn) is None
    first = await store.write(stream, EventA(1), expected_version=0, metadata=meta, conn=conn)
    assert (first.stream, first.version) == (stream, 1)
    second = await store.write_many(
        stream, [signed], expected_version=1, metadata=[meta], conn=conn
    )
    assert second.version == 2
    assert await store.write(stream, signed, metadata=meta, conn=conn) == second
    assert await store.stream_version(stream, conn=conn) == 2
    read = [message async for message in store.read(stream, conn=conn)]
    assert [message.message for message in read] == [EventA(1), signed]
    assert [message.metadata for message in read] == [meta, meta]
    assert [message.stream for message in read] == [stream, stream]
    assert [message.version for message in read] == [1, 2]
    assert [message.global_position for message in read] == [
        first.global_position,
        second.global_position,
    ]
    assert all(message.added_at.tzinfo is UTC for message in read)
    assert await store.last(stream, conn=conn) == read[1]
    assert await store.last(stream, type="EventA", conn=conn) == read[0]
    assert await store.get(signed.event_id, conn=conn) == read[1]
    found = await store.get_many([message.message_id for message in read], conn=conn)
    assert list(found.values()) == read
    other = [Signed(text="1"), Signed(text="2")]
    await store.synchronize(f"{stream}-other", other[:1], expected_version=0, conn=conn)
    synchronized = await store.synchronize(f"{stream}-other", other, expected_version=1, conn=conn)
    assert synchronized.version == 2
    if refuse:
        with pytest.raises(InvalidArgumentError):
            await store.write(stream, EventA(1), expected_version=-1, conn=conn)
