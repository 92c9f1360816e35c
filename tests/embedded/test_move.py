"""A store moves to another server, and back, while programs use it."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._core.places import place_of
from pgstore.embedded import Server
from pgstore.transfer import STEPS, Move, MoveError
from tests.amounts import LONG, amount
from tests.embedded.moving import (
    STORE,
    Load,
    Noted,
    Places,
    left_behind,
    move,
    nothing_is_lost,
    rows,
    run_until,
    store_of,
    verified,
)

_OPEN = STEPS.index("open")


def amount_of(short: tuple[str, ...], long: tuple[str, ...]) -> tuple[str, ...]:
    return long if LONG else short


@pytest.mark.alone
def test_store_moves_and_comes_back_while_it_is_used(places: Places) -> None:
    rounds = amount(1, 10)
    with Load(places.directory, places.elsewhere) as load:
        load.goes_on()
        for _ in range(rounds):
            assert list(dict.fromkeys(move(places))) == list(STEPS)
            load.goes_on()
            move(places.back())
            load.goes_on()
        move(places)
        load.goes_on()
        load.settle()
        nothing_is_lost(places, load)
        assert load.told > 0
        # Whatever is behind: no writer waits longer than that.
        assert load.stall < 2.0
    assert rows(places.source, "SELECT new_conninfo FROM bank.fence_of_store()") == [
        (place_of(places.target),)
    ]
    assert places.directory.place(STORE).conninfo == place_of(places.target)


def test_move_that_is_cut_off_at_each_step_continues(places: Places) -> None:
    """Cut off before each step, so after the one before; then twice at the same one."""
    with Load(places.directory, places.elsewhere) as load:
        load.goes_on(5)
        for step in STEPS:
            run_until(places, step)
            if step in ("copy", "clean"):
                run_until(places, step)
        move(places)
        load.goes_on()
        load.settle()
        nothing_is_lost(places, load)


@pytest.mark.parametrize("last", amount_of(("publish", "drain"), STEPS[1 : _OPEN + 1]))
def test_move_is_taken_back_until_the_store_is_open_at_the_target(
    places: Places, last: str
) -> None:
    with store_of(places) as store:
        store.write("note-1", Noted(1))
        run_until(places, last)
        with Move(places.source, places.target, store=STORE, directory=places.directory) as found:
            found.abort()
            with pytest.raises(MoveError):
                found.abort()
        store.write("note-1", Noted(2))
        assert places.directory.place(STORE).state == "open"
        assert rows(places.target, "SELECT FROM pg_namespace WHERE nspname = 'bank'") == []
        assert left_behind(places.source) == left_behind(places.target) == []
        verified(places.source)
        move(places)
        assert places.directory.place(STORE).conninfo == place_of(places.target)
        store.write("note-1", Noted(3))
        assert [each.message.number for each in store.read_all()] == [1, 2, 3]


@pytest.mark.parametrize("last", amount_of(("switch",), STEPS[_OPEN + 1 :]))
def test_move_is_not_taken_back_once_the_store_is_open_at_the_target(
    places: Places, last: str
) -> None:
    with store_of(places) as store:
        store.write("note-1", Noted(1))
        run_until(places, last)
        with (
            Move(places.source, places.target, store=STORE, directory=places.directory) as found,
            pytest.raises(MoveError),
        ):
            found.abort()
        # The directory may not have it yet.
        store.write("note-1", Noted(2))
        move(places)
        assert [each.message.number for each in store.read_all()] == [1, 2]


def test_former_place_of_a_store_is_neither_opened_nor_moved(places: Places) -> None:
    """Its messages are those of before: with it open, there would be two stores."""
    move(places)
    third = make_conninfo(places.source, dbname=places.elsewhere.split("dbname=")[-1].split()[0])
    with Move(places.target, third, store=STORE, directory=places.directory) as found:
        found.run()
    for target in (places.target, third):
        with Move(places.source, target, store=STORE) as found:
            with pytest.raises(MoveError):
                found.abort()
            with pytest.raises(MoveError):
                found.run()
    with pytest.raises(pgstore.StoreMovedError):
        rows(places.source, "SELECT bank.write_message('a-1', 'T', '1')")


def test_transaction_in_the_way_is_named_and_the_store_stays_open(places: Places) -> None:
    with psycopg.connect(places.source) as writer, store_of(places) as store:
        writer.execute("SELECT bank.write_message('note-1', 'T', '1')")
        # The slot waits for it, and then the fence.
        with pytest.raises(MoveError, match=str(writer.info.backend_pid)):
            move(places, patience=0.1)
        writer.rollback()
        run_until(places, "fence")
        writer.execute("SELECT bank.write_message('note-1', 'T', '1')")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            move(places, patience=0.1)
        assert str(writer.info.backend_pid) in str(caught.value.diag.message_detail)
        assert rows(places.source, "SELECT FROM bank.fence_of_store()") == []
        store.write("note-2", Noted(1))
        writer.commit()
        move(places)
    assert rows(places.target, "SELECT count(*) FROM bank.messages") == [(2,)]


def test_target_that_does_not_catch_up_leaves_the_store_open(places: Places) -> None:
    with store_of(places) as store, psycopg.connect(places.target) as target:
        store.write("note-1", Noted(1))

        def told(step: str, detail: str) -> None:
            if step == "fence":
                # The row of the new stream waits for this one: the messages do not arrive.
                target.execute("SET session_replication_role = replica")
                target.execute("INSERT INTO bank.streams SELECT 2, 0, 'note-2', 'note', 0")
                store.write("note-2", Noted(2))

        with pytest.raises(MoveError, match="caught up"):
            move(places, progress=told, patience=0.2)
        assert rows(places.source, "SELECT FROM bank.fence_of_store()") == []
        store.write("note-1", Noted(3))
        target.rollback()
        move(places)
        assert [each.message.number for each in store.read_all()] == [1, 2, 3]


def test_copy_that_differs_leaves_the_store_open(places: Places) -> None:
    with store_of(places) as store:
        store.write("note-1", Noted(1))
        run_until(places, "fence")
        with psycopg.connect(places.target, autocommit=True) as target:
            target.execute("SET session_replication_role = replica")
            target.execute("UPDATE bank.streams SET floor = 7")
        with pytest.raises(MoveError, match="streams"):
            move(places)
        store.write("note-1", Noted(2))
        with Move(places.source, places.target, store=STORE, directory=places.directory) as found:
            found.abort()
        move(places)
        assert [each.message.number for each in store.read_all()] == [1, 2]


def test_rights_and_sequences_are_as_at_the_source(
    places: Places, servers: tuple[Server, Server]
) -> None:
    with psycopg.connect(places.source, autocommit=True) as source:
        source.execute("CREATE ROLE mover_app LOGIN")
        source.execute("SELECT bank.grant_access('mover_app', 'read')")
        source.execute("SELECT bank.grant_access('mover_app', 'write', '{note}')")
        source.execute("SELECT bank.write_message('note-1', 'T', '1')")
        with pytest.raises(MoveError, match="mover_app"):
            move(places)
        with psycopg.connect(places.target, autocommit=True) as target:
            target.execute("CREATE ROLE mover_app LOGIN")
            move(places)
            listed = "SELECT role, kind, categories FROM bank.list_grants()"
            assert target.execute(listed).fetchall() == source.execute(listed).fetchall()
            target.execute("SET ROLE mover_app")
            assert target.execute(
                "SELECT * FROM bank.write_message('note-1', 'T', '1')"
            ).fetchall() == [(2, 2)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                target.execute("SELECT bank.write_message('other-1', 'T', '1')")
            target.execute("RESET ROLE")
            verified(places.target)
            for conn in (source, target):
                conn.execute("DROP OWNED BY mover_app; DROP ROLE mover_app")


def test_check_says_what_is_in_the_way_and_changes_nothing(places: Places) -> None:
    def wrong() -> list[str]:
        with Move(places.source, places.target, store=STORE, directory=places.directory) as found:
            return [each.check for each in found.check() if each.wrong]

    assert wrong() == []
    assert rows(places.target, "SELECT FROM pg_namespace WHERE nspname = 'bank'") == []
    places.directory.put(STORE, places.elsewhere)
    assert wrong() == ["directory"]
    places.directory.put(STORE, places.source)
    pgstore.install(places.target, store=STORE)
    assert wrong() == []
    rows(places.target, "SELECT bank.write_message('note-1', 'T', '1')")
    assert wrong() == ["the store at the target"]
    rows(places.target, "SELECT bank.fence_store('host=elsewhere')")
    assert wrong() == ["the store at the target"]


def test_move_within_one_place_is_refused(places: Places) -> None:
    with pytest.raises(MoveError):
        Move(places.source, places.source, store=STORE)
