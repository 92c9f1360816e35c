"""A store that is closed by a fence: what callers are told, and who may open it."""

from uuid import uuid4

import psycopg
import pytest

from pgstore import transfer
from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store

PLACE = "host=other.example.net port=5433 dbname=shop"


def wrong(store: Store) -> list[tuple[str, str | None]]:
    with store.conn.transaction():
        checks = transfer.verify(store.conn, store=store.name)
    return [(check.check, check.example) for check in checks if check.wrong]


def test_closed_store_can_be_verified_and_reads_in_its_views(store: Store) -> None:
    stream = f"v-{uuid4()}"
    store.write(stream)
    with store.closed(PLACE):
        assert wrong(store) == []
        assert [version for version, *_ in store.stored(stream)] == [1]
    assert wrong(store) == []
    assert store.write(stream)[0] == 2


def test_verify_finds_a_fence_with_a_gap(empty: Store) -> None:
    check = "a fence closes all tables or none"
    empty.call("fence_store", PLACE)
    empty.query("ALTER TABLE STORE.streams DISABLE TRIGGER store_is_closed")
    assert wrong(empty) == [(check, "streams")]
    empty.query("ALTER TABLE STORE.streams ENABLE TRIGGER store_is_closed")
    empty.query("UPDATE STORE.store_fence SET new_conninfo = 'host=x'")
    found = wrong(empty)
    assert [name for name, _ in found] == [check]
    empty.query("DELETE FROM STORE.store_fence")
    assert [name for name, _ in wrong(empty)] == [check]
    empty.call("fence_store", PLACE)
    empty.call("lift_fence")
    assert wrong(empty) == []


def test_fence_tells_where_and_since_when(store: Store) -> None:
    assert store.call("fence_of_store") == []
    ((since,),) = store.call("fence_store", "host=first")
    try:
        ((place, fenced_at, role),) = store.call("fence_of_store")
        assert (place, fenced_at, role) == ("host=first", since, store.conn.info.user)
        # Again, with another place.
        store.call("fence_store", PLACE)
        assert [row[0] for row in store.call("fence_of_store")] == [PLACE]
        with store.refused("MS030", conninfo=PLACE):
            store.write("a-1")
    finally:
        store.call("lift_fence")
    assert store.call("fence_of_store") == []
    assert store.call("lift_fence") == [(False,)]


def test_rolled_back_fence_leaves_the_store_open(store: Store) -> None:
    with store.conn.transaction(force_rollback=True):
        store.call("fence_store", PLACE)
    store.write("a-1")
    assert store.call("fence_of_store") == []


@pytest.mark.parametrize(
    "place",
    [
        "host=x password=secret",
        "host=x PASSWORD = secret",
        "postgresql://me:secret@x/shop",
        "postgresql://x/shop?user=me&password=secret",
        "host=x sslpassword=secret",
    ],
)
def test_place_with_a_password_is_refused(store: Store, place: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        store.call("fence_store", place)
    assert caught.value.sqlstate == "22023"
    assert "secret" not in str(caught.value.diag.message_detail)


@pytest.mark.parametrize("place", ["", "x" * 2001, None])
def test_place_is_not_empty_and_not_too_long(store: Store, place: str | None) -> None:
    with store.refused("22023", argument="new_conninfo"):
        store.call("fence_store", place)


def test_patience_is_more_than_nothing(store: Store) -> None:
    for function, given in (("fence_store", [PLACE, "0"]), ("lift_fence", ["-1 s"])):
        with store.refused("22023", argument="patience"):
            store.call(function, *given)


def test_only_the_owner_closes_and_opens(store: Store, connect: Connect) -> None:
    with new_role(store) as role:
        store.call("grant_access", role, "admin")
        admin: Connection = connect(user=role)
        for function, given in (("fence_store", [PLACE]), ("lift_fence", [])):
            with store.refused("42501"):
                store.call(function, *given, on=admin)
        assert store.call("fence_of_store", on=admin) == []


def test_closed_store_is_not_upgraded(server_conninfo: str, store: Store) -> None:
    import pgstore

    store.query("UPDATE STORE.migrations SET checksum = 'other' WHERE number = 0")
    with store.closed(PLACE), pytest.raises(psycopg.Error) as caught:
        pgstore.install(server_conninfo, store=store.name)
    assert caught.value.sqlstate == "MS030"
    pgstore.install(server_conninfo, store=store.name)
    assert wrong(store) == []
