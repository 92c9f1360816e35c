"""Mistakes that people make with moves, and the way on from each."""

import psycopg
import pytest

from pgstore.transfer import Move, MoveError
from tests.embedded.moving import STORE, Places, do, left_behind, move, rows, run_until

WRITE = "SELECT bank.write_message('note-1', 'T', '1')"
COUNT = "SELECT count(*) FROM bank.messages"


def test_move_that_was_not_cleaned_up_is_finished_before_the_next_one(places: Places) -> None:
    """Its subscription would make the next but one take the closed store for a copy."""
    run_until(places, "clean")
    rows(places.target, WRITE)
    with pytest.raises(MoveError, match="the one to here is not finished") as caught:
        move(places.back())
    assert "again" in str(caught.value.hint)
    move(places)
    assert left_behind(places.source) == left_behind(places.target) == []
    move(places.back())
    move(places)
    assert rows(places.target, COUNT) == [(1,)]


def test_move_is_finished_though_the_closed_store_was_dropped(places: Places) -> None:
    run_until(places, "switch")
    do(places.source, "DROP SCHEMA bank CASCADE")
    rows(places.target, WRITE)
    with (
        Move(places.source, places.target, store=STORE) as found,
        pytest.raises(MoveError, match="open at the target"),
    ):
        found.abort()
    move(places)
    assert places.directory.place(STORE).state == "open"
    assert left_behind(places.source) == left_behind(places.target) == []
    move(places.back())
    assert rows(places.source, COUNT) == [(1,)]


def test_publication_that_a_move_has_left_is_taken_back(places: Places) -> None:
    """It has lost its tables with the closed store that was replaced."""
    rows(places.source, WRITE)
    run_until(places, "clean")
    with psycopg.connect(places.target, autocommit=True) as conn:
        ((name,),) = conn.execute("SELECT subname FROM pg_subscription").fetchall()
        for words in ("ALTER {} DISABLE", "ALTER {} SET (slot_name = NONE)", "DROP {}"):
            conn.execute(words.format(f"SUBSCRIPTION {name}").encode())
    move(places.back())
    with Move(places.source, places.target, store=STORE, directory=places.directory) as found:
        with pytest.raises(MoveError, match="--abort"):
            found.run()
        found.abort()
    rows(places.source, WRITE)
    move(places)
    assert rows(places.target, COUNT) == [(2,)]
    assert left_behind(places.source) == left_behind(places.target) == []


def test_replication_from_another_database_is_told_at_once(places: Places) -> None:
    """PostgreSQL subscribes there to nothing, and only warns."""
    with pytest.raises(MoveError, match="does not lead to the source"):
        move(places, replicate_from=places.elsewhere)
    assert rows(places.source, "SELECT FROM bank.fence_of_store()") == []
    move(places)


def test_move_that_continues_replicates_from_where_it_is_told(places: Places) -> None:
    """A password has changed since, or an address. A run that does not say it leaves it."""
    run_until(places, "copy")
    found: list[str] = []

    def told(step: str, detail: str) -> None:
        if step == "compare" and not detail:
            found.extend(conninfo for (conninfo,) in rows(places.target, made))
            if len(found) == 1:
                raise InterruptedError(step)

    made = "SELECT subconninfo FROM pg_subscription"
    second = psycopg.conninfo.make_conninfo(places.source, application_name="second")
    with pytest.raises(InterruptedError):
        move(places, replicate_from=second, progress=told)
    move(places, progress=told)
    assert found == [second, second]


def test_schema_of_another_role_is_in_the_way(places: Places) -> None:
    """An empty one: the store would be installed into it."""
    do(places.target, "CREATE ROLE stranger; CREATE SCHEMA bank AUTHORIZATION stranger")
    try:
        with Move(places.source, places.target, store=STORE) as found:
            wrong = {each.check: each.found for each in found.check() if each.wrong}
        assert wrong == {"the store at the target": "its schema is owned by stranger"}
        do(places.target, "ALTER SCHEMA bank OWNER TO CURRENT_USER")
        move(places)
    finally:
        do(places.target, "DROP OWNED BY stranger; DROP ROLE stranger")
