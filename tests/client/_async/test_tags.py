"""Tags of messages, queries for them, and writes on the condition that no other one has come."""

from typing import Any

import pytest

from pgstore import AppendConditionError, AsyncMessageStore, QueryItem
from tests.client.messages import EventA, EventB

Store = AsyncMessageStore[Any]


async def test_a_write_is_refused_if_a_message_has_come_since_the_decision(
    store: Store, stream: str
) -> None:
    tag = f"course:{stream}"
    await store.write(stream, EventA(1), tags=[tag, "b", "a", "a"])
    found = await store.read_tagged(QueryItem(tags=[tag], types=[EventA]))
    assert [each.message for each in found] == [EventA(1)]
    assert found.messages[0].tags == ("a", "b", tag)
    await store.write(f"{stream}2", EventB("other"), tags=[tag])
    await store.write_many(f"{stream}2", [EventA(2), EventA(3)], tags=[tag], unless=found)
    with pytest.raises(AppendConditionError) as caught:
        await store.write(f"{stream}3", EventA(4), unless=found)
    error = caught.value
    assert (error.stream, error.version, error.type) == (f"{stream}2", 2, "EventA")
    assert await store.stream_version(f"{stream}3") == 0
