"""What a row must hold whoever writes it: the CHECKs of tables."""

import psycopg
import pytest

from tests.sql.store import Store
from tests.sql.subscriptions import Subscription


@pytest.fixture(scope="module")
def reader(store: Store) -> Subscription:
    """A subscription with a parked message."""
    reader = Subscription(store, on_failure="park", max_attempts=1)
    position = reader.write()
    lease = reader.claimed()
    lease.fetch()
    assert lease.fail(position) == "park"
    lease.release()
    return reader


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("subscriptions", "subscription = ''"),
        ("subscriptions", "subscription = repeat('x', 256)"),
        ("subscriptions", "partitions = 0"),
        ("subscriptions", "partitions = 65537"),
        ("subscriptions", "next_partitions = 0"),
        ("subscriptions", "next_partitions = partitions"),
        ("subscriptions", "max_attempts = 0"),
        ("subscriptions", "retry_delay = '-1 second'"),
        ("subscriptions", "on_failure = 'ignore'"),
        ("subscriptions", "partition_by = 'metadata:'"),
        ("subscriptions", "categories = '{}'"),
        ("subscriptions", "types = '{}'"),
        ("subscription_partitions", "checkpoint = swept_position + 1"),
        ("parked_messages", "attempts = 0"),
        ("parked_messages", "partition = -1"),
        ("parked_messages", "global_position = 0"),
    ],
)
def test_row_that_no_function_would_write_is_refused(
    store: Store, reader: Subscription, table: str, change: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        store.query(
            f"UPDATE STORE.{table} SET {change} WHERE subscription_id ="
            " (SELECT s.subscription_id FROM STORE.subscriptions AS s WHERE s.subscription = %s)",
            [reader.name],
        )


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("snapshots", "snapshot = ''"),
        ("snapshots", "snapshot = repeat('x', 256)"),
        ("snapshots", "version = 0"),
        ("stream_changes", "changes = 0"),
        ("scheduled_messages", "due_at = 'infinity'"),
        ("scheduled_messages", "stream = ''"),
        ("scheduled_messages", "type = ''"),
        ("scheduled_messages", "metadata = '1'"),
    ],
)
def test_row_about_a_stream_that_no_function_would_write_is_refused(
    store: Store, stream: str, table: str, change: str
) -> None:
    store.write(stream)
    store.call("redact_message", store.call("read_stream", stream)[0][0], "{}", "asked for")
    store.call("save_snapshot", stream, "s", 1, 1, "{}", 1)
    store.call("schedule_message", stream, "T", "1", "2100-01-01")
    with pytest.raises(psycopg.errors.CheckViolation):
        store.query(f"UPDATE STORE.{table} SET {change}")
