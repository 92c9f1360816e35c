"""What the policies of retention say is deleted, in small batches, and nothing else."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Background, Connection, Store, wait_until
from tests.sql.subscriptions import Subscription


@pytest.fixture
def category(store: Store) -> Iterator[str]:
    """A category of its own, and no policy but what the test sets."""
    name = f"c{uuid4().hex[:12]}"
    yield name
    store.query("DELETE FROM STORE.retention_policies")
    store.query("DELETE FROM STORE.subscriptions")


def fill(store: Store, category: str, count: int, streams: int = 3) -> list[int]:
    """Write messages to the category's streams in turn; their positions."""
    return [store.write(f"{category}-{n % streams}")[1] for n in range(count)]


def age(store: Store, positions: list[int], days: int = 10) -> None:
    store.query(
        "UPDATE STORE.messages AS m SET added_at = m.added_at - make_interval(days => %s)"
        " WHERE m.global_position = ANY (%s)",
        [days, positions],
    )


def apply(store: Store, *given: object, on: Connection | None = None) -> tuple[int, bool]:
    ((deleted, more),) = store.call("apply_retention", *given, on=on)
    return deleted, more


def left(store: Store, category: str) -> list[int]:
    return [row[3] for row in store.call("read_category", category)]


def everything(store: Store, max_messages: int = 1000) -> int:
    total = 0
    while True:
        deleted, more = apply(store, max_messages)
        assert deleted <= max_messages
        total += deleted
        if not more:
            return total


def test_old_messages_go(store: Store, category: str) -> None:
    positions = fill(store, category, 10)
    age(store, positions[:6])
    store.call("set_retention", category, "5 days")
    assert apply(store) == (6, False)
    assert left(store, category) == positions[6:]
    assert apply(store) == (0, False)
    assert [store.call("stream_version", f"{category}-{n}") for n in range(3)] == [
        [(4,)],
        [(3,)],
        [(3,)],
    ]


@pytest.mark.parametrize("batch", [1, 3, 7, 1000])
def test_all_but_the_newest_go_in_batches(store: Store, category: str, batch: int) -> None:
    positions = fill(store, category, 20)
    store.call("set_retention", category, max_count=4)
    assert everything(store, batch) == 16
    assert left(store, category) == positions[16:]
    more = fill(store, category, 3)
    assert everything(store, batch) == 3
    assert left(store, category) == positions[19:] + more


def test_either_limit_is_enough(store: Store, category: str) -> None:
    positions = fill(store, category, 10)
    age(store, positions[:3])
    store.call("set_retention", category, "5 days", 5)
    assert everything(store) == 5
    store.call("set_retention", category, "5 days", 100)
    age(store, positions[5:9])
    assert everything(store) == 4
    assert left(store, category) == positions[9:]


def test_max_count_of_0_empties_a_category_but_versions_go_on(store: Store, category: str) -> None:
    fill(store, category, 6)
    store.call("set_retention", category, max_count=0)
    assert everything(store, 2) == 6
    assert left(store, category) == []
    assert store.write(f"{category}-1")[0] == 3


def test_only_first_messages_of_a_stream_go(store: Store, category: str) -> None:
    """One that is old behind one that is young, as a clock that was set back makes them."""
    positions = fill(store, category, 9)  # streams 0 1 2 0 1 2 0 1 2
    age(store, [positions[n] for n in (0, 3, 4, 5, 8)])
    store.call("set_retention", category, "5 days")
    assert everything(store) == 2
    assert left(store, category) == [p for n, p in enumerate(positions) if n not in (0, 3)]
    assert [row[2] for row in store.call("read_stream", f"{category}-0")] == [3]


def test_other_categories_stay(store: Store, category: str) -> None:
    other = fill(store, category + "x", 5)
    fill(store, category, 5)
    store.call("set_retention", category, max_count=0)
    assert everything(store) == 5
    assert left(store, category + "x") == other


def test_category_with_the_same_key_stays(store: Store, category: str) -> None:
    """Two categories may share a key: then names tell them apart, also when they are counted."""
    twin = category + "twin"
    fill(store, twin, 4, streams=1)
    positions = fill(store, category, 6)
    fill(store, twin, 4, streams=1)
    for table in ("streams", "messages"):
        store.query(
            f"UPDATE STORE.{table} AS t SET category_key = STORE._category_key(%s)"
            " WHERE t.category_key = STORE._category_key(%s)",
            [category, twin],
        )
    store.call("set_retention", category, max_count=4)
    assert everything(store, 1) == 2
    assert left(store, category) == positions[2:]
    assert [row[2] for row in store.call("read_stream", f"{twin}-0")] == [*range(1, 9)]


def test_nothing_after_the_safe_position_goes(
    store: Store, category: str, connect: Connect
) -> None:
    first = fill(store, category, 3)
    writer = connect(autocommit=False)
    store.write(f"{category}x-1", on=writer)
    fill(store, category, 3)
    store.call("set_retention", category, max_count=0)
    assert apply(store) == (3, False)
    assert not set(first) & set(left(store, category))
    writer.commit()
    assert apply(store) == (3, False)


def test_stream_in_use_is_left_for_later(store: Store, category: str, connect: Connect) -> None:
    fill(store, category, 9)
    writer = connect(autocommit=False)
    store.write(f"{category}-1", on=writer)
    store.call("set_retention", category, max_count=0)
    assert apply(store) == (6, True)
    assert [row[2] for row in store.call("read_stream", f"{category}-1")] == [1, 2, 3]
    assert apply(store) == (0, True)  # waits a little, and gives up
    writer.rollback()
    assert everything(store) == 3
    assert left(store, category) == []


def test_stream_in_use_all_the_time_is_waited_for(
    store: Store, category: str, connect: Connect
) -> None:
    store.write(f"{category}-1")
    writer, job = connect(autocommit=False), connect()
    store.write(f"{category}-1", on=writer)
    store.call("set_retention", category, max_count=0)
    running = Background(lambda: apply(store, on=job))
    store.wait_until_blocked(job)
    writer.commit()
    assert running.result() == (1, True)  # the second message is after its safe position
    assert apply(store) == (1, False)
    assert store.write(f"{category}-1")[0] == 3


def test_writer_waits_for_the_job_and_gets_the_next_version(
    store: Store, category: str, connect: Connect
) -> None:
    fill(store, category, 4, streams=1)
    job, writer = connect(autocommit=False), connect()
    store.call("set_retention", category, max_count=0)
    assert apply(store, on=job) == (4, False)
    writing = Background(lambda: store.write(f"{category}-0", on=writer))
    store.wait_until_blocked(writer)
    job.commit()
    assert writing.result()[0] == 5


def test_deletion_that_waits_for_the_job_keeps_no_writer_waiting(
    store: Store, category: str, connect: Connect
) -> None:
    """Else the job could wait for a writer that waits for the deletion that waits for the job."""
    fill(store, category, 2, streams=1)
    job, admin = connect(autocommit=False), connect()
    store.call("set_retention", category, max_count=5)
    store.query("SELECT FROM STORE.retention_policies AS p FOR UPDATE", on=job)

    def delete() -> tuple[int, int]:
        ((deleted,),) = store.call("delete_stream", f"{category}-0", None, on=admin)
        return deleted, 0

    deleting = Background(delete)
    store.wait_until_blocked(admin)
    writer = connect(options="-c lock_timeout=5s")
    assert store.write(f"{category}-0", on=writer)[0] == 3
    job.commit()
    assert deleting.result() == (3, 0)


def test_jobs_at_once_take_different_categories(
    store: Store, category: str, connect: Connect
) -> None:
    one, other = connect(autocommit=False), connect(autocommit=False)
    for name in (category, category + "x"):
        fill(store, name, 4)
        store.call("set_retention", name, max_count=0)
    assert apply(store, 4, on=one) == (4, True)
    assert apply(store, 4, on=other) == (4, True)
    assert apply(store, 4) == (0, False)  # both are taken
    one.commit()
    other.commit()
    assert left(store, category) == left(store, category + "x") == []


def test_what_a_subscription_has_not_handled_stays(store: Store, category: str) -> None:
    reader = Subscription(store, categories=[category])
    positions = fill(store, category, 6, streams=1)
    store.call("set_retention", category, max_count=1)
    assert everything(store) == 0
    lease = reader.claimed()
    lease.fetch(2)
    lease.acknowledge(positions[1])
    lease.release()
    assert everything(store) == 2
    (row,) = store.call("list_retention")
    assert (row[0], row[2], row[3], row[5], row[6]) == (category, 1, True, positions[1], True)
    assert reader.work() == positions[2:]
    assert everything(store) == 3
    assert left(store, category) == positions[5:]


def test_what_a_subscription_has_not_handled_goes_if_the_policy_says_so(
    store: Store, category: str
) -> None:
    """The subscription crosses what is gone."""
    reader = Subscription(store, categories=[category], partitions=4)
    fill(store, category, 20)
    reader.claimed().release()  # it has looked for work: heads are noted
    store.call("set_retention", category, max_count=0, keep_unhandled=False)
    assert everything(store) == 20
    assert reader.work() == []
    assert reader.claim() is None
    position = store.write(f"{category}-7")[1]
    assert reader.work() == [position]
    assert reader.position() >= position


def test_parked_message_that_is_gone_is_listed_and_not_handed_out(
    store: Store, category: str
) -> None:
    reader = Subscription(store, categories=[category], on_failure="park", max_attempts=1)
    gone, stays = fill(store, category, 2, streams=1)
    lease = reader.claimed()
    for position in (gone, stays):
        assert lease.fetch(1).positions == [position]
        assert lease.fail(position) == "park"
    lease.release()
    assert store.call("replay_parked", reader.name, gone) == [(1,)]
    store.call("set_retention", category, max_count=1)
    assert everything(store) == 1
    assert reader.claim() is None
    assert [(row[0], row[1]) for row in store.call("list_parked", reader.name)] == [
        (gone, None),
        (stays, f"{category}-0"),
    ]
    assert store.call("replay_parked", reader.name) == [(1,)]
    lease = reader.claimed()
    assert lease.fetch().positions == [stays]
    lease.settle(stays)
    assert lease.fetch().positions == []
    lease.release()
    assert reader.claim() is None
    assert store.call("drop_parked", reader.name) == [(1,)]


@pytest.mark.parametrize("holder", ["replay_parked", "resume_subscription"])
def test_message_whose_error_is_locked_is_left_for_later(
    store: Store, category: str, connect: Connect, holder: str
) -> None:
    """Otherwise the error, which may quote the message, would stay when the message is gone."""
    fails = "park" if holder == "replay_parked" else "stop"
    reader = Subscription(store, categories=[category], on_failure=fails, max_attempts=1)
    (failed,) = fill(store, category, 1)
    lease = reader.claimed()
    lease.fetch(1)
    assert lease.fail(failed, "it says: secret") == fails
    lease.release()
    store.call("set_retention", category, max_count=0, keep_unhandled=False)
    conn = connect(autocommit=False)
    if holder == "replay_parked":
        store.call("replay_parked", reader.name, failed, on=conn)
    else:
        store.call("resume_subscription", reader.name, on=conn)
    assert apply(store) == (0, True)
    assert left(store, category) == [failed]
    conn.commit()
    assert everything(store) == 1
    errors = store.query(
        "SELECT error FROM STORE.parked_messages UNION ALL"
        " SELECT error FROM STORE.subscription_partitions"
    )
    assert [row for row in errors if row != (None,)] == []


def test_truncated_category_is_counted_again(store: Store, category: str) -> None:
    positions = fill(store, category, 10, streams=2)
    store.call("set_retention", category, max_count=4)
    assert apply(store, 1) == (1, True)  # it has counted: the first six are too many
    store.call("delete_stream", f"{category}-1", None)
    assert everything(store) == 0
    assert left(store, category) == positions[2::2]


def test_what_was_looked_at_is_not_looked_at_again(store: Store, category: str) -> None:
    positions = fill(store, category, 6)
    store.call("set_retention", category, max_count=2)
    assert apply(store, 3) == (3, True)
    ((reached,),) = store.query(
        "SELECT p.reached_position FROM STORE.retention_policies AS p"
    ).fetchall()
    assert positions[2] <= reached < positions[3]


def test_there_are_no_more_when_the_next_one_is_young(store: Store, category: str) -> None:
    """Else whoever calls it while there are more would never stop."""
    positions = fill(store, category, 6)
    age(store, positions[:3])
    store.call("set_retention", category, "5 days")
    assert apply(store, 5) == (3, False)
    age(store, positions[3:])
    assert apply(store, 2) == (2, True)
    assert apply(store, 2) == (1, False)


def test_set_retention_replaces_and_drop_retention_ends(store: Store, category: str) -> None:
    store.call("set_retention", category, "1 day", reason="law")
    store.call("set_retention", category, max_count=5, keep_unhandled=False)
    ((name, max_age, max_count, keep, *_),) = store.call("list_retention")
    assert (name, max_age, max_count, keep) == (category, None, 5, False)
    assert store.call("drop_retention", category) == [(True,)]
    assert store.call("drop_retention", category) == [(False,)]
    assert store.call("list_retention") == []
    fill(store, category, 9)
    assert apply(store) == (0, False)
    entries = store.call("list_audit", 3)
    assert [row[4] for row in entries] == ["drop_retention", "set_retention", "set_retention"]
    assert entries[2][6] == "law"


def test_deletions_are_in_the_audit(store: Store, category: str) -> None:
    fill(store, category, 5)
    store.call("set_retention", category, max_count=0)
    everything(store, 3)
    entries = store.call("list_audit", 2)
    assert [row[4:] for row in entries] == [
        ("apply_retention", category, None, {"deleted": 2}),
        ("apply_retention", category, None, {"deleted": 3}),
    ]


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("category", {"category": None, "max_count": 1}),
        ("category", {"category": "a-1", "max_count": 1}),
        ("max_age", {"category": "a"}),
        ("max_age", {"category": "a", "max_age": "-1 day"}),
        ("max_age", {"category": "a", "max_age": "2000 years"}),
        ("max_count", {"category": "a", "max_count": -1}),
        ("keep_unhandled", {"category": "a", "max_count": 1, "keep_unhandled": None}),
    ],
)
def test_set_retention_refuses_bad_arguments(
    store: Store, argument: str, given: dict[str, Any]
) -> None:
    with store.refused("22023", argument=argument):
        store.call("set_retention", **given)


@pytest.mark.parametrize("count", [None, 0, -1, 10_001])
def test_apply_retention_refuses_a_bad_number(store: Store, count: int | None) -> None:
    with store.refused("22023", argument="max_messages"):
        apply(store, count)


def test_apply_retention_needs_read_committed(store: Store, connect: Connect) -> None:
    conn = connect(options=r"-c default_transaction_isolation=repeatable\ read")
    with store.refused("MS004"):
        apply(store, on=conn)


def test_jobs_and_writers_at_once_lose_and_repeat_no_version(
    store: Store, category: str, connect: Connect
) -> None:
    """Writers that never stop, streams that are emptied all the time, two jobs, a truncater."""
    store.call("set_retention", category, max_count=2)
    done = False

    def write(conn: Connection, n: int) -> tuple[int, int]:
        for i in range(150):
            version, _ = store.write(f"{category}-{(n + i) % 3}", on=conn)
            assert version > 0
        return 0, 0

    def cut(conn: Connection) -> tuple[int, int]:
        deleted = 0
        while not done:
            deleted += apply(store, 7, on=conn)[0]
        return deleted, 0

    def empty(conn: Connection) -> tuple[int, int]:
        while not done:
            with suppress(psycopg.errors.InvalidParameterValue):  # not written to yet
                store.call("delete_stream", f"{category}-1", None, on=conn)
        return 0, 0

    writers = [Background(partial(write, connect(), n)) for n in range(4)]
    cutters = [Background(partial(cut, connect())) for _ in range(2)]
    emptier = Background(partial(empty, connect()))
    try:
        for thread in writers:
            thread.join(60)
            assert thread.result() == (0, 0)
    finally:
        done = True
    for thread in [*cutters, emptier]:
        thread.result()
    versions = [store.call("stream_version", f"{category}-{n}")[0][0] for n in range(3)]
    assert sum(versions) == 600
    wait_until(lambda: apply(store, 1000)[1] is False)
    assert len(left(store, category)) <= 2
