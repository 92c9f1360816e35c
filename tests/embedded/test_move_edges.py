"""What is in the way of a move, and what ends it: the store is open at one place, and says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._core.places import place_of
from pgstore.embedded import Server
from pgstore.transfer import Move, MoveError
from pgstore.transfer.moving import _sql as q
from tests.embedded.moving import (
    FENCES,
    STORE,
    Load,
    Noted,
    Places,
    at,
    connected,
    cut_off_at,
    do,
    left_behind,
    move,
    rows,
    run_until,
    store_of,
    verified,
    wrong,
)
from tests.standbys import until


def raiser(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("step", ["drain", "open"])
def test_move_that_is_interrupted_opens_the_store_again(places: Places, step: str) -> None:
    for error in (KeyboardInterrupt(), ValueError("a fault of this program")):
        with pytest.raises(type(error)):
            at(places, step, raiser(error))
        assert rows(places.source, FENCES) == []
    move(places)


@pytest.mark.parametrize("end", ["source", "target"])
def test_move_that_loses_a_connection_opens_the_store_again(places: Places, end: str) -> None:
    with Move(places.source, places.target, store=STORE) as found:
        pid = getattr(found, end).conn.info.backend_pid

        def told(step: str, detail: str) -> None:
            if step == "drain":
                rows(getattr(places, end), "SELECT pg_terminate_backend(%s, 10000)", pid)

        found._step = told
        with pytest.raises(psycopg.OperationalError):
            found.run()
    assert rows(places.source, FENCES) == []
    assert len(rows(places.target, FENCES)) == 1
    move(places)


def test_lost_answer_of_the_opening_leaves_the_source_closed(places: Places) -> None:
    """Whether the store is open at the target is not known: open at both it must never be."""
    with Move(places.source, places.target, store=STORE) as found:
        value = found.target.value

        def lost(statement: str, *parameters: object) -> object:
            if statement == q.OPEN:
                rows(
                    places.target,
                    "SELECT pg_terminate_backend(%s, 10000)",
                    found.target.conn.info.backend_pid,
                )
            return value(statement, *parameters)

        found.target.value = lost  # type: ignore[method-assign]
        with pytest.raises(MoveError, match="closed at both places"):
            found.run()
    assert len(rows(places.source, FENCES)) == len(rows(places.target, FENCES)) == 1
    move(places)
    assert rows(places.target, FENCES) == []


def test_store_is_moved_by_one_program_at_a_time(places: Places) -> None:
    """The other one would open what this one has closed, with less patience."""
    run_until(places, "fence")

    def others() -> None:
        for work in ("run", "abort"):
            with (
                Move(places.source, places.target, store=STORE, patience=0.1) as other,
                pytest.raises(MoveError, match="another program"),
            ):
                getattr(other, work)()

    at(places, "drain", others)
    assert rows(places.target, FENCES) == []


def test_move_to_one_place_leaves_a_move_to_another_one_alone(places: Places) -> None:
    """With one slot for both, the first would miss changes, and not know it."""
    third = make_conninfo(places.source, dbname=places.elsewhere.split("dbname=")[-1].split()[0])
    run_until(places, "fence")
    before = left_behind(places.source)
    with Move(places.source, third, store=STORE) as other:
        with pytest.raises(MoveError, match="another move"):
            other.run()
        with pytest.raises(MoveError, match="moves to"):
            other.abort()
    assert left_behind(places.source) == before
    move(places)
    assert left_behind(places.source) == left_behind(places.target) == []


def test_same_database_under_another_name_is_refused(places: Places) -> None:
    host = psycopg.conninfo.conninfo_to_dict(places.source)["host"]
    with pytest.raises(MoveError, match="same database"):
        Move(places.source, make_conninfo(places.source, host=f"{host}/"), store=STORE)


def test_store_is_open_while_a_move_continues_that_was_cut_off(places: Places) -> None:
    """It would be closed as long as a large store takes to be compared."""
    for step in ("drain", "open"):
        run_until(places, step)
        with pytest.raises(pgstore.StoreMovedError):
            rows(places.source, "SELECT bank.last_position()")
        run_until(places, "install")
        assert rows(places.source, "SELECT bank.last_position()") == [(0,)]
    move(places)


def test_copy_answers_with_the_place_of_the_store(places: Places) -> None:
    """Its sequences are behind until the end: that is not what a writer is told."""
    rows(places.source, "SELECT bank.write_message('note-1', 'T', '1')")
    run_until(places, "fence")
    with pytest.raises(pgstore.StoreMovedError):
        rows(places.target, "SELECT bank.write_message('note-1', 'T', '1')")


def test_abort_that_is_cut_off_is_run_again(places: Places) -> None:
    rows(places.source, "SELECT bank.write_message('note-1', 'T', '1')")
    run_until(places, "open")
    with (
        Move(places.source, places.target, store=STORE) as found,
        cut_off_at(found.target, "do", "DROP SCHEMA"),
    ):
        found.abort()
    # Open where it was; and there is nobody who could open it at the target.
    assert rows(places.source, FENCES) == []
    # Also a move that would drop the copy of another one begins after that.
    (found_there,) = wrong(places, replace_closed=True).values()
    assert "--abort" in found_there
    with Move(places.source, places.target, store=STORE) as found:
        found.abort()
    assert left_behind(places.source) == left_behind(places.target) == []
    assert rows(places.target, "SELECT FROM pg_namespace WHERE nspname = 'bank'") == []


def test_slot_that_is_gone_is_told(places: Places) -> None:
    run_until(places, "fence")
    _, slot = left_behind(places.source)

    def drops() -> bool:
        try:
            rows(
                places.source,
                "SELECT pg_terminate_backend(active_pid, 10000) IS NOT NULL,"
                " pg_drop_replication_slot(slot_name)"
                " FROM pg_replication_slots WHERE slot_name = %s",
                slot,
            )
        except psycopg.errors.ObjectInUse:  # the subscription is back already
            return False
        return True

    until(drops)
    with pytest.raises(MoveError, match="slot"):
        move(places)
    with Move(places.source, places.target, store=STORE) as found:
        found.abort()
    move(places)


def test_move_that_has_begun_continues_without_a_free_slot(
    places: Places, servers: tuple[Server, Server]
) -> None:
    run_until(places, "fence")
    names = [f"other_{number}" for number in range(17)]
    for name in names:
        rows(places.source, "SELECT pg_create_physical_replication_slot(%s)", name)
    try:
        assert wrong(places) == {}
        move(places)
        assert list(wrong(places.back(), replace_closed=True)) == []
        rows(places.source, "SELECT pg_create_physical_replication_slot('one_more')")
        names.append("one_more")
        third = places._replace(source=places.target, target=places.source)
        assert wrong(third, replace_closed=True) == {}
    finally:
        for name in names:
            rows(places.source, "SELECT pg_drop_replication_slot(%s)", name)


def test_replication_that_fails_again_and_again_is_told(places: Places) -> None:
    rows(places.source, "SELECT bank.write_message('note-1', 'T', '1')")

    def disturb() -> None:
        with psycopg.connect(places.target, autocommit=True) as target:
            target.execute("SET session_replication_role = replica")
            target.execute("INSERT INTO bank.streams SELECT 1, 0, 'other-1', 'other', 0")

    with pytest.raises(MoveError, match="does not replicate"):
        at(places, "publish", disturb)
    # The publication, the slot, and that of the table: also if the target does not get there.
    _, slot, _ = left_behind(places.source)
    do(
        places.target,
        f"ALTER SUBSCRIPTION {slot} DISABLE;ALTER SUBSCRIPTION {slot} CONNECTION 'host=/nowhere'",
    )
    with Move(places.source, places.target, store=STORE) as found:
        found.abort()
    assert left_behind(places.source) == left_behind(places.target) == []


def test_objects_that_are_not_the_stores_are_in_the_way(places: Places) -> None:
    """Nobody would copy them from the source; at the target they would go with the copy."""
    do(places.source, "CREATE TABLE bank.mine (number bigint)")
    assert wrong(places) == {"objects in the store's schema": "table mine"}
    do(places.source, "DROP TABLE bank.mine")
    do(places.source, "CREATE INDEX mine ON bank.messages (added_at)")
    assert wrong(places) == {}
    do(places.target, "CREATE SCHEMA bank; CREATE TABLE bank.mine (number bigint)")
    (found,) = wrong(places).values()
    assert "mine" in found
    with pytest.raises(MoveError):
        move(places)
    with Move(places.source, places.target, store=STORE) as other, pytest.raises(MoveError):
        other.abort()
    do(places.target, "DROP TABLE bank.mine")
    move(places)
    do(places.source, "CREATE TABLE bank.mine_too (number bigint)")
    (found,) = wrong(places.back(), replace_closed=True).values()
    assert "mine" in found


def test_rights_by_hand_move_and_those_that_cannot_are_named(
    places: Places, servers: tuple[Server, Server]
) -> None:
    for server in servers:
        do(server.conninfo, "CREATE ROLE hand")
    try:
        do(
            places.source,
            "GRANT USAGE ON SCHEMA bank TO hand; GRANT SELECT ON bank.all_messages TO hand;"
            "GRANT EXECUTE ON FUNCTION bank.last_position TO hand WITH GRANT OPTION;"
            "GRANT SELECT ON bank.category_statistics TO PUBLIC;"
            "GRANT SELECT (type) ON bank.messages TO hand",
        )
        with pytest.raises(MoveError, match="hand has SELECT on column messages at the source"):
            move(places)
        do(places.source, "REVOKE SELECT (type) ON bank.messages FROM hand")
        move(places)
        listed = (
            "SELECT r.kind, r.name, a.grantee::regrole::text, a.privilege_type, a.is_grantable"
            " FROM bank._list_rights() AS r CROSS JOIN aclexplode(r.rights) AS a"
            " ORDER BY 1, 2, 3, 4"
        )
        at_target = rows(places.target, listed)
        assert at_target == rows(places.source, listed)
        assert ("function", "last_position", "hand", "EXECUTE", True) in at_target
    finally:
        for place, server in zip((places.source, places.target), servers, strict=True):
            do(place, "DROP OWNED BY hand")
            do(server.conninfo, "DROP ROLE hand")


def test_limits_of_the_database_do_not_end_a_move(places: Places) -> None:
    for place in (places.source, places.target):
        with psycopg.connect(place, autocommit=True) as conn:
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                conn.execute(f"ALTER DATABASE {conn.info.dbname} SET {limit} = '20ms'".encode())
    with connected(places.source) as conn:
        at(places, "drain", lambda: conn.execute("SELECT pg_sleep(0.1)"))


def test_store_of_another_name_moves(places: Places) -> None:
    name = 'we"ird % Störe'
    pgstore.install(places.source, store=name)
    with pgstore.MessageStore(places.source, store=name, messages=Noted) as store:
        store.write("note-1", Noted(1))
    with Move(places.source, places.target, store=name) as found:
        found.run()
    with pgstore.MessageStore(places.target, store=name, messages=Noted) as store:
        assert [each.message.number for each in store.read_all()] == [1]


def test_place_without_a_host_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each program would look for it on its own machine. PGHOST names one for all of them."""
    parts: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(places.target)
    monkeypatch.setenv("PGHOST", host := str(parts.pop("host")))
    lacking = places._replace(target=make_conninfo(**parts))
    assert host in place_of(lacking.target)
    assert not wrong(lacking)
    monkeypatch.setattr("pgstore._core.places._outside", dict)  # as if there were no PGHOST
    assert "the place of the target" in wrong(lacking)


@pytest.fixture
def ordinary(places: Places, servers: tuple[Server, Server]) -> Places:
    """The same, for a role that is no superuser, and has to give a password."""
    for server in servers:
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            conn.execute("CREATE ROLE mover LOGIN REPLICATION PASSWORD 'oyster'")
            conn.execute("GRANT pg_create_subscription TO mover")
            hba = Path(server.folder / "data" / "pg_hba.conf")
            hba.write_text("local all mover scram-sha-256\n" + hba.read_text())
            conn.execute("SELECT pg_reload_conf()")
    for place in (places.source, places.target):
        do(
            place,
            "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO mover',"
            " current_database()); END $$",
        )
    do(places.source, "DROP SCHEMA bank CASCADE")
    source, target = (
        make_conninfo(each, user="mover", password="oyster")
        for each in (places.source, places.target)
    )
    pgstore.install(source, store=STORE)
    do(places.source, "GRANT ALL ON effects TO mover")
    do(places.target, "GRANT ALL ON effects TO mover")
    return places._replace(source=source, target=target)


def test_owner_of_the_store_moves_it_without_being_a_superuser(
    places: Places, ordinary: Places, servers: tuple[Server, Server]
) -> None:
    try:
        rows(ordinary.source, "SELECT bank.write_message('note-1', 'T', '1')")
        without = make_conninfo(places.source, user="mover")
        assert list(wrong(ordinary, replicate_from=without)) == ["a password for the replication"]
        bad = make_conninfo(ordinary.source, password="clam-and-oyster")
        with pytest.raises(MoveError, match="cannot subscribe") as caught:
            move(ordinary, replicate_from=bad)
        assert "clam" not in f"{caught.value} {caught.value.__context__} {caught.value.__cause__}"
        steps: list[str] = []
        move(ordinary, progress=lambda *said: steps.extend(said))
        assert "oyster" not in " ".join(steps)
        owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'bank'"
        assert rows(places.target, owner) == [("mover",)]
        verified(ordinary.target)
        # Nor is it in a log, although a statement has failed.
        for server in servers:
            assert "oyster" not in (server.folder / "server.log").read_text()
        # A superuser moves it back, and it belongs to its owner.
        move(places.back())
        assert rows(places.source, owner) == [("mover",)]
    finally:
        for place in (places.source, places.target):
            do(place, "DROP OWNED BY mover CASCADE")
        for server in servers:
            do(server.conninfo, "DROP ROLE mover")


def test_owner_that_the_target_lacks_is_named(places: Places) -> None:
    do(places.source, "CREATE ROLE lone")
    try:
        do(
            places.source,
            "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO lone',"
            " current_database()); END $$; DROP SCHEMA bank CASCADE",
        )
        pgstore.install(make_conninfo(places.source, options="-c role=lone"), store=STORE)
        assert wrong(places)["the store's owner at the target"] == "lone: no such role"
    finally:
        do(places.source, "DROP OWNED BY lone CASCADE; DROP ROLE lone")


def test_load_goes_on_when_a_move_is_taken_back(places: Places) -> None:
    with Load(places.directory, places.elsewhere) as load:
        load.goes_on(5)
        run_until(places, "open")
        with Move(places.source, places.target, store=STORE, directory=places.directory) as found:
            found.abort()
        load.goes_on(5)
        load.settle()
    with store_of(places) as store:
        numbers = [each.message.number for each in store.read_all()]
    assert sorted(numbers) == sorted(load.written)
