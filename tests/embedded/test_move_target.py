"""What a move finds at its target, and what comes between its steps."""

from types import SimpleNamespace

import psycopg
import pytest

import pgstore
from pgstore._core.places import place_of
from pgstore.transfer import Move, MoveError
from pgstore.transfer.moving import _move
from pgstore.transfer.moving import _sql as q
from tests.embedded.moving import STORE, Places, do, left_behind, move, rows, run_until
from tests.embedded.test_move_edges import FENCES, at, wrong
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
    with Move(places.source, places.target, store=STORE) as found:
        do_really = found.source.do

        def cut_off(statement: str, **names: object) -> None:
            if statement.startswith("COMMENT ON PUBLICATION"):
                raise KeyboardInterrupt
            do_really(statement, **names)

        found.source.do = cut_off  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            found.run()
    assert left_behind(places.source) == []
    # Cut off between the slot and the subscription.
    with Move(places.source, places.target, store=STORE) as found:
        rows_really = found.target.rows

        def ends(statement: str, *parameters: object) -> list[psycopg.rows.TupleRow]:
            if statement == q.SET_SUBSCRIBE:
                raise KeyboardInterrupt
            return rows_really(statement, *parameters)

        found.target.rows = ends  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
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
