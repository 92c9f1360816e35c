"""Moves beside one another: of one store, of stores of one name, of stores of one database."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgstore
from pgstore._core.places import place_of
from pgstore.embedded import Server
from pgstore.transfer import Move, MoveError
from tests.embedded.moving import (
    FENCES,
    STORE,
    Places,
    at,
    do,
    left_behind,
    move,
    rows,
    run_until,
)
from tests.embedded.moving import remove_left_behind as remove


def third_of(places: Places) -> str:
    """Another database of the source's server."""
    return make_conninfo(places.source, dbname=conninfo_to_dict(places.elsewhere)["dbname"])


@contextmanager
def more_databases(servers: tuple[Server, Server]) -> Iterator[tuple[str, str]]:
    """A database on each server, with the store in the first one."""
    names = [make_conninfo(server.conninfo, dbname="neighbour") for server in servers]
    for server in servers:
        do(server.conninfo, "CREATE DATABASE neighbour")
    pgstore.install(names[0], store=STORE)
    try:
        yield names[0], names[1]
    finally:
        remove(*names)
        for server in servers:
            do(server.conninfo, "DROP DATABASE neighbour WITH (FORCE)")


def test_each_place_takes_part_in_one_move_of_a_store_at_a_time(places: Places) -> None:
    """Two that begin together would use one slot, or fill one copy."""
    third = third_of(places)
    pgstore.install(third, store=STORE)

    def others() -> None:
        for source, target in ((places.source, third), (third, places.target)):
            with (
                Move(source, target, store=STORE, patience=0.1) as other,
                pytest.raises(MoveError, match="another program"),
            ):
                other.run()

    at(places, "install", others)
    assert rows(places.target, FENCES) == []


def test_stores_of_one_name_in_two_databases_move_at_the_same_time(
    places: Places, servers: tuple[Server, Server]
) -> None:
    """Slots are of the whole server: one for both would be dropped by the other move."""
    with more_databases(servers) as (source, target):
        for place, stream in ((places.source, "one-1"), (source, "other-1")):
            rows(place, "SELECT bank.write_message(%s, 'T', '1')", stream)
        run_until(places, "fence")
        # As while the target is away for a time.
        ((name,),) = rows(places.target, "SELECT subname FROM pg_subscription WHERE subenabled")
        do(places.target, f"ALTER SUBSCRIPTION {name} DISABLE")
        with Move(source, target, store=STORE) as other:
            other.run()
        rows(places.source, "SELECT bank.write_message('one-1', 'T', '2')")
        do(places.target, f"ALTER SUBSCRIPTION {name} ENABLE")
        move(places)
        stored = "SELECT stream, version FROM bank.all_messages ORDER BY 2"
        assert rows(places.target, stored) == [("one-1", 1), ("one-1", 2)]
        assert rows(target, stored) == [("other-1", 1)]
        assert left_behind(source) == left_behind(target) == []


def test_two_stores_of_a_database_move_at_the_same_time(places: Places) -> None:
    pgstore.install(places.source, store="shop")
    run_until(places, "fence")
    before = left_behind(places.source)
    with Move(places.source, places.target, store="shop") as other:
        other.run()
    assert left_behind(places.source) == before
    move(places)
    for store in ("shop", STORE):
        assert rows(places.target, f"SELECT FROM {store}.fence_of_store()") == []


def test_move_that_was_cut_off_does_not_open_a_store_that_has_moved_elsewhere(
    places: Places,
) -> None:
    """Its copy is there, new and closed: to take it back would open the store at two places."""
    third = third_of(places)
    run_until(places._replace(target=third), "publish")
    move(places)
    with Move(places.source, third, store=STORE) as other:
        with pytest.raises(MoveError):
            other.abort()
        with pytest.raises(MoveError):
            other.run()
    assert rows(places.source, FENCES) == [(place_of(places.target),)]
    assert rows(third, FENCES) == [(place_of(places.source),)]
    with psycopg.connect(places.source) as conn, pytest.raises(pgstore.StoreMovedError):
        conn.execute("SELECT bank.last_position()")


def test_databases_of_one_name_move_from_two_servers_to_one(
    places: Places, servers: tuple[Server, Server]
) -> None:
    """Their subscriptions have one name, in two databases: each move looks at its own."""
    with more_databases(servers) as (_, target):
        other = make_conninfo(places.target, dbname=conninfo_to_dict(places.elsewhere)["dbname"])
        pgstore.install(places.target, store=STORE)
        with Move(places.source, other, store=STORE) as first:

            def stops(step: str, detail: str) -> None:
                if step == "fence":
                    raise InterruptedError

            first._step = stops
            with pytest.raises(InterruptedError):
                first.run()
            ((name,),) = rows(other, "SELECT subname FROM pg_subscription WHERE subenabled")
            do(other, f"ALTER SUBSCRIPTION {name} DISABLE")
            with Move(places.target, target, store=STORE) as second:
                second.run()
            assert len(left_behind(places.source)) == 2
            first.abort()
        assert rows(target, FENCES) == []
        for place in (places.source, places.target, other, target):
            assert left_behind(place) == []
