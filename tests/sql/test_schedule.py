from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Store, marks

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_else(store: Store) -> None:
    """What a test before has scheduled is not delivered in this one."""
    store.query("DELETE FROM STORE.scheduled_messages")


def schedule(store: Store, stream: str, due: datetime, **named: Any) -> UUID:
    ((message_id,),) = store.call("schedule_message", stream, "A", "{}", due, **named)
    return UUID(str(message_id))


def deliver(store: Store, *given: object, **named: Any) -> tuple[int, timedelta | None]:
    ((delivered, next_due),) = store.call("deliver_scheduled", *given, **named)
    return delivered, next_due


def ids(store: Store, stream: str) -> list[UUID]:
    return [row[0] for row in store.call("read_stream", stream)]


def test_a_message_is_written_when_it_is_due(store: Store, stream: str) -> None:
    future = schedule(store, stream, FAR)
    due = schedule(store, stream, LONG_AGO, metadata='{"a": 1}')
    assert store.stored(stream) == []
    delivered, next_due = deliver(store)
    assert delivered == 1
    assert next_due is not None
    assert next_due > timedelta(days=20_000)
    assert ids(store, stream) == [due]
    assert store.stored(stream) == [(1, "A", "{}", '{"a": 1}')]
    assert deliver(store)[0] == 0
    assert deliver(store, due_by=FAR) == (1, None)
    assert ids(store, stream) == [due, future]
    assert deliver(store, due_by=FAR) == (0, None)


def test_messages_are_written_in_the_order_of_their_times(store: Store, stream: str) -> None:
    wanted = [schedule(store, f"{stream}-{n % 3}", LONG_AGO + timedelta(n)) for n in range(9)]
    ties = [schedule(store, f"{stream}-{n % 3}", LONG_AGO - timedelta(1)) for n in range(9)]
    assert [row[0] for row in store.call("list_scheduled")] == [*ties, *wanted]
    assert [row[0] for row in store.call("list_scheduled", f"{stream}-1", 2)] == [ties[1], ties[4]]
    assert deliver(store, 5) == (5, timedelta(0))
    assert deliver(store) == (13, None)
    rows = store.query(
        "SELECT message_id FROM STORE.all_messages WHERE starts_with(stream, %s)"
        " ORDER BY global_position",
        [stream],
    )
    assert [row[0] for row in rows] == [*ties, *wanted]


def test_a_cancelled_message_is_not_written(store: Store, stream: str) -> None:
    message_id = schedule(store, stream, LONG_AGO)
    assert store.call("cancel_message", message_id) == [(True,)]
    assert store.call("cancel_message", message_id) == [(False,)]
    assert deliver(store) == (0, None)
    assert schedule(store, stream, LONG_AGO, message_id=message_id) == message_id
    assert deliver(store) == (1, None)
    assert store.call("cancel_message", message_id) == [(False,)]


def test_scheduling_again_changes_nothing(store: Store, stream: str) -> None:
    message_id = uuid4()
    for due in (LONG_AGO, FAR):
        assert schedule(store, stream, due, message_id=message_id) == message_id
    assert deliver(store) == (1, None)
    assert schedule(store, stream, LONG_AGO, message_id=message_id) == message_id
    assert deliver(store) == (0, None)
    assert ids(store, stream) == [message_id]


def test_an_id_of_another_message_is_refused(store: Store, stream: str) -> None:
    message_id = schedule(store, stream, FAR)
    for given in ((stream, "B", "{}"), (stream, "A", "1"), (f"{stream}-2", "A", "{}")):
        with store.refused("MS002", stream=stream, version=0, global_position=0):
            store.call("schedule_message", *given, FAR, message_id=message_id)
    deliver(store, due_by=FAR)
    with store.refused("MS002", stream=stream, version=1):
        store.call("schedule_message", stream, "B", "{}", FAR, message_id=message_id)


def test_a_message_that_was_written_already_is_only_forgotten(store: Store, stream: str) -> None:
    message_id = schedule(store, stream, LONG_AGO)
    store.write(f"{stream}-early", message_id=message_id)
    assert deliver(store) == (1, None)
    assert ids(store, stream) == []


def test_a_stream_that_a_writer_holds_is_left_with_its_order(
    store: Store, stream: str, connect: Connect
) -> None:
    held = [schedule(store, stream, LONG_AGO + timedelta(n)) for n in (0, 2)]
    other = schedule(store, f"{stream}-2", LONG_AGO + timedelta(1))
    writer = connect(autocommit=False)
    store.write(stream, on=writer)
    assert deliver(store) == (1, timedelta(0))
    assert ids(store, f"{stream}-2") == [other]
    writer.commit()
    assert deliver(store) == (2, None)
    assert ids(store, stream)[1:] == held


def test_a_cancellation_in_flight_holds_the_later_messages_of_the_stream(
    store: Store, stream: str, connect: Connect
) -> None:
    first, second = (schedule(store, stream, LONG_AGO + timedelta(n)) for n in (0, 1))
    canceller = connect(autocommit=False)
    store.call("cancel_message", first, on=canceller)
    assert deliver(store) == (0, timedelta(0))
    canceller.rollback()
    assert deliver(store) == (2, None)
    assert ids(store, stream) == [first, second]


def test_two_sessions_that_deliver_share_the_messages(
    store: Store, stream: str, connect: Connect
) -> None:
    sent = [schedule(store, f"{stream}-{n}", LONG_AGO) for n in range(4)]
    one = connect(autocommit=False)
    assert store.call("deliver_scheduled", 2, on=one)[0][0] == 2
    assert deliver(store)[0] == 2
    one.commit()
    assert deliver(store) == (0, None)
    assert sorted(ids(store, f"{stream}-{n}")[0] for n in range(4)) == sorted(sent)


def test_what_a_transaction_rolls_back_stays_scheduled(
    store: Store, stream: str, connect: Connect
) -> None:
    message_id = schedule(store, stream, LONG_AGO)
    one = connect(autocommit=False)
    store.call("deliver_scheduled", on=one)
    one.rollback()
    assert ids(store, stream) == []
    assert deliver(store) == (1, None)
    assert ids(store, stream) == [message_id]


def test_scheduling_is_in_flight_and_moves_the_last_position(
    store: Store, stream: str, connect: Connect
) -> None:
    """So a session that begins to wait for messages looks again, and finds an earlier time."""
    ((before, _),) = store.call("horizon")
    one = connect(autocommit=False)
    store.call("schedule_message", stream, "A", "{}", FAR, on=one)
    assert marks(store, one) != []
    assert store.call("horizon") == [(before, True)]
    one.commit()
    ((after, in_flight),) = store.call("horizon")
    assert after > before
    assert not in_flight


def test_a_deleted_stream_has_no_scheduled_messages(store: Store, stream: str) -> None:
    store.write(stream)
    schedule(store, stream, FAR)
    store.call("truncate_stream", stream, 2)
    assert len(store.call("list_scheduled", stream)) == 1
    store.call("delete_stream", stream)
    assert store.call("list_scheduled", stream) == []


def test_an_emptied_store_has_no_scheduled_messages(empty: Store) -> None:
    schedule(empty, "account-1", FAR)
    empty.call("empty_store", empty.name)
    assert empty.call("count_scheduled") == [(0, 0, None)]


def test_health_counts_what_is_overdue(store: Store, stream: str) -> None:
    def status() -> tuple[str, str]:
        rows = store.query(
            "SELECT status, value FROM STORE.health() WHERE name = 'scheduled_messages'"
        )
        return rows.fetchall()[0]

    schedule(store, stream, FAR)
    assert status() == ("ok", "1 scheduled, 0 overdue")
    schedule(store, stream, LONG_AGO)
    assert status() == ("warn", "2 scheduled, 1 overdue")
    assert store.call("count_scheduled") == [(2, 1, LONG_AGO)]


def test_a_role_schedules_cancels_and_delivers_what_it_may_write(
    store: Store, connect: Connect
) -> None:
    with new_role(store) as role:
        store.call("grant_access", role, "write", ["mine"])
        writer = connect(user=role)
        foreign = schedule(store, "account-1", LONG_AGO)
        with store.refused("42501", role=role, category="account"):
            store.call("schedule_message", "account-1", "A", "{}", FAR, on=writer)
        with store.refused("42501", role=role, stream="", category=""):
            store.call("cancel_message", foreign, on=writer)
        store.call("schedule_message", "mine-1", "A", "{}", LONG_AGO, on=writer)
        assert store.call("deliver_scheduled", on=writer) == [(1, None)]
        assert [row[0] for row in store.call("list_scheduled")] == [foreign]
        with store.refused("42501"):
            store.call("list_scheduled", on=writer)
        writer.close()
    assert deliver(store) == (1, None)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("schedule_message('', 'A', '{}', now())", "stream"),
        ("schedule_message('s', '', '{}', now())", "type"),
        ("schedule_message('s', 'A', NULL, now())", "data"),
        ("schedule_message('s', 'A', '{}', NULL)", "due_at"),
        ("schedule_message('s', 'A', '{}', 'infinity')", "due_at"),
        ("schedule_message('s', 'A', '{}', '10000-01-01')", "due_at"),
        ("schedule_message('s', 'A', '{}', '0044-03-15 BC')", "due_at"),
        ("schedule_message('s', 'A', '{}', now(), '1')", "metadata"),
        ("cancel_message(NULL)", "message_id"),
        ("deliver_scheduled(0)", "max_count"),
        ("list_scheduled(max_count => 0)", "max_count"),
        ("list_scheduled('')", "of_stream"),
    ],
)
def test_bad_arguments_are_refused(store: Store, call: str, argument: str) -> None:
    with store.refused("22023", argument=argument):
        store.query(f"SELECT * FROM STORE.{call}")


def test_delivery_in_a_read_only_transaction_is_refused_although_nothing_is_due(
    store: Store, connect: Connect
) -> None:
    conn = connect(autocommit=False)
    conn.execute("SET TRANSACTION READ ONLY")
    with store.refused("25006", standby=False):
        store.call("deliver_scheduled", on=conn)


def test_delivery_needs_read_committed(store: Store, connect: Connect) -> None:
    conn = connect(autocommit=False)
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with store.refused("MS004"):
        store.call("deliver_scheduled", on=conn)
