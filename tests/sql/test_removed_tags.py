"""Subscriptions whose messages lose, by a redaction, the tags that chose them."""

from uuid import uuid4

import pytest

from tests.sql.store import Store
from tests.sql.subscriptions import Subscription


class Reader(Subscription):
    """A subscription to a tag; its messages can be taken away from it."""

    def tagged(self) -> tuple[str, int]:
        """Write a message that it reads; its id and position."""
        message_id = uuid4()
        _, position = self.store.write(
            f"{self.category}-1", "A", "{}", message_id=message_id, tags=["a", "b"]
        )
        return str(message_id), position

    def take_away(self, message_id: str, *tags: str) -> None:
        self.store.call("redact_message", message_id, "{}", "test", remove_tags=[*tags])


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_message_without_its_tag_is_not_handed_out(store: Store, partitions: int) -> None:
    reader = Reader(store, partitions=partitions, tags=["a"])
    written = [reader.tagged() for _ in range(3)]
    reader.claimed().release()  # what waits is listed before
    reader.take_away(written[1][0], "a")
    reader.take_away(written[2][0], "b")
    checks = {row[0]: row[2] for row in store.call("verify_store")}
    assert checks["what waits in partitions is listed"] == 0
    assert reader.work() == [written[0][1], written[2][1]]
    assert reader.claim() is None


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_message_that_loses_its_tag_at_its_worker_fails_without_a_trace(
    store: Store, partitions: int
) -> None:
    reader = Reader(store, partitions=partitions, tags=["a"], max_attempts=1)
    message_id, position = reader.tagged()
    lease = reader.claimed()
    assert lease.fetch().positions == [position]
    reader.take_away(message_id, "a")
    assert lease.fail(position) == "retry"
    assert reader.work() == []


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_message_is_parked_after_one_that_lost_its_tag(store: Store, partitions: int) -> None:
    reader = Reader(store, partitions=partitions, tags=["a"], max_attempts=1, on_failure="park")
    message_id, _ = reader.tagged()
    _, position = reader.tagged()
    reader.claimed().release()  # what waits is listed before
    reader.take_away(message_id, "a")
    lease = reader.claimed()
    assert lease.fetch().positions == [position]
    assert lease.fail(position) == "park"
