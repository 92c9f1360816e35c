"""What a move finds at its target, and what comes between its steps."""

from types import SimpleNamespace

import psycopg
import pytest

import pgstore
from pgstore._core.places import place_of
from pgstore.embedded import Server
from pgstore.transfer import Move, MoveError
from pgstore.transfer.moving import _move
from pgstore.transfer.moving import _sql as q
from tests.embedded.moving import (
    FENCES,
    SETTINGS,
    STORE,
    Places,
    at,
    cut_off_at,
    do,
    left_behind,
    move,
    rows,
    run_until,
    wrong,
)
from tests.standbys import until

WRITE = "SELECT bank.write_message('note-1', 'T', '1')"


def test_store_that_is_new_at_the_target_is_closed_while_it_is_filled(places: Places) -> None:
    rows(places.source, WRITE)
    pgstore.install(places.target, store=STORE)
    with Move(places.source, places.target, store=STORE) as found, pytest.raises(MoveError):
        found.abort()

    def closed() -> None:
        assert rows(places.target, FENCES) == [(place_of(places.source),)]

    at(places, "publish", closed)
    assert rows(places.target, "SELECT count(*) FROM bank.messages") == [(1,)]
    assert rows(places.target, FENCES) == []


@pytest.mark.parametrize(
    "call",
    [
        WRITE,
        "SELECT bank.create_subscription('sums')",
        "SELECT bank.schedule_message('note-1', 'T', '1', now() + interval '1 day')",
        "SELECT bank.grant_access('pg_monitor', 'read')",
        "SELECT bank.set_retention('note', max_count => 5)",
    ],
)
def test_store_in_which_there_is_anything_is_not_replaced(places: Places, call: str) -> None:
    pgstore.install(places.target, store=STORE)
    rows(places.target, call)
    assert wrong(places, replace_closed=True) == {"the store at the target": "it has messages"}


def test_store_that_was_closed_for_another_place_is_not_moved(places: Places) -> None:
    run_until(places, "fence")
    rows(places.source, "SELECT bank.fence_store('host=elsewhere')")
    assert list(wrong(places)) == ["the source is open"]
    with Move(places.source, places.target, store=STORE) as found:
        for work in (found.run, found.abort):
            with pytest.raises(MoveError):
                work()
    assert rows(places.source, FENCES) == [("host=elsewhere",)]


def test_interruption_after_the_store_was_opened_leaves_the_source_closed(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C while the answer of the commit is on its way: open at both it must never be."""
    with Move(places.source, places.target, store=STORE) as found:
        value = found.target.value

        def opened(statement: str, *parameters: object) -> object:
            answer = value(statement, *parameters)
            if statement == q.OPEN:
                found.target.conn.execute("COMMIT")
                raise KeyboardInterrupt
            return answer

        monkeypatch.setattr(found.target, "value", opened)
        with pytest.raises(KeyboardInterrupt):
            found.run()
    assert rows(places.source, FENCES) == [(place_of(places.target),)]
    assert rows(places.target, FENCES) == []
    move(places)


def test_vacuum_of_the_copy_is_waited_for_before_the_store_is_closed(places: Places) -> None:
    steps: list[str] = []
    run_until(places, "fence")
    with psycopg.connect(places.target) as vacuum:
        vacuum.execute("LOCK TABLE bank.messages IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            move(places, patience=0.1, progress=lambda step, detail: steps.append(step))
    assert steps[-1] == "fence"
    move(places)


def test_slot_that_is_lost_while_the_store_is_closed_opens_it_again(places: Places) -> None:
    run_until(places, "fence")

    def drops() -> bool:
        slot = "FROM pg_replication_slots WHERE database = current_database()"
        rows(places.source, f"SELECT pg_terminate_backend(active_pid, 10000) {slot}")
        try:
            return bool(rows(places.source, f"SELECT pg_drop_replication_slot(slot_name) {slot}"))
        except psycopg.errors.ObjectInUse:  # the subscription is back already
            return False

    with pytest.raises(MoveError, match="slot at the source is gone"):
        at(places, "drain", lambda: until(drops))
    assert rows(places.source, FENCES) == []


def test_what_a_cut_off_move_has_made_at_the_source_is_made_as_a_whole(places: Places) -> None:
    """A publication that does not say where the store moves to would stop each move."""
    with (
        Move(places.source, places.target, store=STORE) as found,
        cut_off_at(found.source, "do", "COMMENT ON PUBLICATION"),
    ):
        found.run()
    assert left_behind(places.source) == []
    # Cut off between the slot and the subscription.
    with (
        Move(places.source, places.target, store=STORE) as found,
        cut_off_at(found.target, "rows", q.SET_SUBSCRIBE),
    ):
        found.run()
    assert len(left_behind(places.source)) == 2
    rows(places.source, WRITE)
    move(places)
    assert rows(places.target, "SELECT count(*) FROM bank.messages") == [(1,)]


def test_copy_answers_for_a_time_after_a_move_was_taken_back(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that have gone to it are told the place of the store, which is open by then."""
    run_until(places, "open")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        assert rows(places.source, FENCES) == []
        assert rows(places.target, FENCES) == [(place_of(places.source),)]
        assert places.directory.place(STORE).state == "open"
        waits.append(seconds)

    monkeypatch.setattr(_move, "time", SimpleNamespace(sleep=sleep))
    with Move(places.source, places.target, store=STORE, directory=places.directory) as found:
        found.abort()
    assert len(waits) == 1
    do(places.target, "CREATE SCHEMA bank")  # the copy is gone


def test_slot_that_the_source_has_given_up_is_told(places: Places) -> None:
    """The target has missed changes: PostgreSQL keeps the slot, and sends nothing."""
    run_until(places, "fence")
    ((name,),) = rows(places.target, "SELECT subname FROM pg_subscription WHERE subenabled")
    do(places.target, f"ALTER SUBSCRIPTION {name} DISABLE")
    do(places.source, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    try:
        rows(places.source, "SELECT pg_reload_conf()")

        def is_lost() -> bool:
            rows(places.source, "SELECT pg_logical_emit_message(true, 'x', 'x'), pg_switch_wal()")
            do(places.source, "CHECKPOINT")
            found = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND wal_status = 'lost'"
            return rows(places.source, found, name) != []

        until(is_lost)
    finally:
        do(places.source, "ALTER SYSTEM RESET max_slot_wal_keep_size")
        rows(places.source, "SELECT pg_reload_conf()")
    with pytest.raises(MoveError, match="slot at the source is gone or invalid"):
        move(places)
    with Move(places.source, places.target, store=STORE) as found:
        found.abort()
    assert left_behind(places.source) == left_behind(places.target) == []


def test_rights_that_were_revoked_by_hand_do_not_come_back_by_a_move(
    places: Places, servers: tuple[Server, Server]
) -> None:
    for server in servers:
        do(server.conninfo, "CREATE ROLE former")
    try:
        rows(places.source, "SELECT bank.grant_access('former', 'read')")
        do(places.source, "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bank FROM former")
        move(places)
        granted = "SELECT has_function_privilege('former', 'bank.last_position()', 'EXECUTE')"
        assert rows(places.source, granted) == rows(places.target, granted) == [(False,)]
    finally:
        for place, server in zip((places.source, places.target), servers, strict=True):
            do(place, "DROP OWNED BY former")
            do(server.conninfo, "DROP ROLE former")


@pytest.mark.parametrize("patience", [0, -1, 86_401])
def test_patience_of_a_move_is_more_than_nothing_and_at_most_a_day(
    places: Places, patience: float
) -> None:
    """The fence refuses a longer one, after all was copied."""
    with pytest.raises(pgstore.InvalidArgumentError, match="patience"):
        Move(places.source, places.target, store=STORE, patience=patience)


def test_move_takes_a_slot_for_each_table_that_is_copied_at_a_time(places: Places) -> None:
    """With fewer, workers of the target fail again and again."""
    names = [f"other_{number}" for number in range(12)]
    for name in names:
        rows(places.source, "SELECT pg_create_physical_replication_slot(%s)", name)
    try:
        assert wrong(places) == {"replication slots that are free": "8; it takes 9"}
        rows(places.source, "SELECT pg_drop_replication_slot(%s)", names.pop())
        assert wrong(places) == {}
        move(places)
    finally:
        for name in names:
            rows(places.source, "SELECT pg_drop_replication_slot(%s)", name)


def test_target_that_copies_no_tables_is_named(places: Places) -> None:
    """The move would wait for ever."""
    with Server(settings=SETTINGS | {"max_sync_workers_per_subscription": "0"}) as server:
        assert wrong(places._replace(target=server.conninfo)) == {
            "workers for replication at the target": "12, for 0 tables at a time"
        }
