"""What operators see: counts by stream, category and type, the store at a glance, its health."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store, wait_until
from tests.sql.subscriptions import Subscription

PAGE = Path(__file__).parents[2] / "docs/operations/monitoring.md"

COLUMNS = {
    "stream_statistics": "stream category messages first_version version first_position"
    " last_position first_added_at last_added_at",
    "category_statistics": "category streams messages first_position last_position"
    " first_added_at last_added_at",
    "type_statistics": "type messages first_position last_position last_added_at",
}


@pytest.fixture
def monitor(store: Store, connect: Connect) -> Iterator[Connection]:
    """A session of a role that may monitor."""
    with new_role(store) as name:
        store.call("grant_access", name, "monitor")
        store.query(f"GRANT pg_read_all_stats TO {name}")
        with connect(user=name) as conn:
            yield conn


def rows(store: Store, view: str, **where: str) -> list[dict[str, object]]:
    condition = " AND ".join(f"v.{column} = %s" for column in where)
    cursor = store.query(f"SELECT v.* FROM STORE.{view} AS v WHERE {condition}", [*where.values()])
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def health(store: Store, on: Connection | None = None) -> dict[str, tuple[str, str]]:
    """Status and value of each check."""
    found = store.call("health", on=on)
    assert all(remedy for *_, remedy in found)
    assert {status for _, status, *_ in found} <= {"ok", "warn", "fail"}
    assert len({name for name, *_ in found}) == len(found)
    return {name: (status, value) for name, status, value, _ in found}


@pytest.mark.parametrize("view", COLUMNS)
def test_views_have_these_columns(store: Store, view: str) -> None:
    cursor = store.query(f"SELECT v.* FROM STORE.{view} AS v")
    assert [column.name for column in cursor.description or ()] == COLUMNS[view].split()


def test_stream_statistics_are_what_counting_tells(store: Store, stream: str) -> None:
    positions = [store.write(stream)[1] for _ in range(5)]
    store.call("truncate_stream", stream, 3)
    (row,) = rows(store, "stream_statistics", stream=stream)
    times = [m[7] for m in store.call("read_stream", stream)]
    assert list(row.values()) == [
        *(stream, "account", 3, 3, 5, positions[2], positions[4], times[0], times[-1])
    ]
    store.call("delete_stream", stream, 5)
    (row,) = rows(store, "stream_statistics", stream=stream)
    assert list(row.values()) == [stream, "account", 0, None, 5, None, None, None, None]


def test_category_and_type_statistics_add_up(store: Store) -> None:
    category = f"c{uuid4().hex}"
    positions = [store.write(f"{category}-{n % 3}", category, "1")[1] for n in range(7)]
    store.call("delete_stream", f"{category}-2", None)
    store.call("truncate_stream", f"{category}-0", 2)
    (row,) = rows(store, "category_statistics", category=category)
    assert list(row.values())[:5] == [category, 3, 4, positions[1], positions[6]]
    (row,) = rows(store, "type_statistics", type=category)
    assert list(row.values())[:4] == [category, 4, positions[1], positions[6]]


def test_store_statistics_tell_the_oldest_writer(
    store: Store, stream: str, connect: Connect, monitor: Connection
) -> None:
    position = store.write(stream)[1]
    writer = connect(autocommit=False)
    store.write(stream, on=writer)
    store.query("ANALYZE STORE.messages")
    cursor = store.query("SELECT s.* FROM STORE.store_statistics() AS s", on=monitor)
    names = [column.name for column in cursor.description or ()]
    (values,) = cursor.fetchall()
    found = dict(zip(names, values, strict=True))
    assert (found["safe_position"], found["last_position"], found["in_flight"]) == (
        *(position, position + 1, True),
    )
    assert found["oldest_writer_pid"] == writer.info.backend_pid
    assert found["oldest_writer_started_at"] is not None
    assert found["messages_estimate"] > 0
    assert min(found["table_bytes"], found["index_bytes"]) > 0


def test_healthy_store_is_healthy(store: Store, monitor: Connection) -> None:
    found = health(store, monitor)
    ours = [name for name in found if name.startswith(("subscription", "parked", "retention"))]
    assert {found[name][0] for name in [*ours, "writers_in_flight"]} == {"ok"}
    assert found["default_transaction_isolation"] == ("ok", "read committed")


def test_health_tells_what_is_wrong_with_subscriptions(store: Store, monitor: Connection) -> None:
    stopped = Subscription(store, max_attempts=1)
    lease_of = stopped.write()
    assert stopped.claimed().fail(lease_of) == "stop"
    parks = Subscription(store, on_failure="park", max_attempts=1)
    position = parks.write()
    assert parks.claimed().fail(position) == "park"
    paused = Subscription(store)
    store.call("pause_subscription", paused.name)
    store.call("set_retention", stopped.category, max_count=0)
    store.call("set_retention", stopped.category, max_age="0")
    found = health(store, monitor)
    assert found["subscription_stopped"] == ("fail", f"{stopped.name}/0")
    assert found["parked_messages"] == ("warn", f"{parks.name}: 1")
    assert found["subscription_paused"] == ("warn", paused.name)
    assert found["retention_waits"] == ("warn", stopped.category)
    store.query(
        "SELECT setval('STORE.global_position_seq', nextval('STORE.global_position_seq') + 200000)"
    )
    status, value = health(store, monitor)["subscription_behind"]
    assert (status, f"{stopped.name}: " in value) == ("warn", True)
    for each in (stopped, parks, paused):
        store.call("drop_subscription", each.name)
    store.call("drop_retention", stopped.category)
    test_healthy_store_is_healthy(store, monitor)


@pytest.mark.parametrize(
    ("setting", "value", "status"),
    [
        ("default_transaction_isolation", "serializable", "fail"),
        ("default_transaction_isolation", "repeatable read", "fail"),
        ("synchronous_commit", "off", "warn"),
        ("synchronous_commit", "local", "ok"),
        ("TimeZone", "Asia/Kathmandu", "ok"),
    ],
)
def test_health_tells_settings_that_hurt(
    store: Store, connect: Connect, setting: str, value: str, status: str
) -> None:
    conn = connect()
    store.query("SELECT set_config(%s, %s, false)", [setting, value], on=conn)
    store.query("SET transaction_isolation = 'read committed'", on=conn)
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        assert health(store, conn)[setting] == (status, value)


def test_health_tells_autovacuum_that_is_off(store: Store) -> None:
    store.query("ALTER TABLE STORE.messages SET (autovacuum_enabled = off)")
    try:
        assert health(store)["table_settings"] == ("warn", "messages")
    finally:
        store.query("ALTER TABLE STORE.messages RESET (autovacuum_enabled)")
    assert health(store)["table_settings"][0] == "ok"


def test_queries_for_the_exporter_run_as_a_monitor_and_give_numbers(
    store: Store, stream: str, monitor: Connection
) -> None:
    store.write(stream)
    reader = Subscription(store)
    store.call("set_retention", "account", "1 year")
    section = PAGE.read_text().partition("## Prometheus")[2]
    blocks = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    queries = [
        text for block in blocks for text in re.sub(r"--.*", "", block).split(";") if text.strip()
    ]
    assert len(queries) == 8
    for text in queries:
        cursor = store.query(text.replace("bank.", "STORE."), on=monitor)
        found = cursor.fetchall()
        assert found, text
        metrics = [n for n, c in enumerate(cursor.description or ()) if c.name[:8] == "pgstore_"]
        assert metrics, text
        assert all(float(row[n]) >= 0 for row in found for n in metrics)
    store.call("drop_subscription", reader.name)
    store.call("drop_retention", "account")


def test_health_tells_a_writer_that_stays_open(
    store: Store, stream: str, connect: Connect, monitor: Connection
) -> None:
    """Nothing here is 30 seconds old: the check is that it is seen at all, and not too early."""
    writer = connect(autocommit=False)
    store.write(stream, on=writer)
    assert health(store, monitor)["writers_in_flight"][0] == "ok"
    writer.rollback()
    wait_until(lambda: not store.query("SELECT FROM STORE.writers_in_flight").rowcount)
