"""A store that is closed by a fence: what callers are told, and who may open it."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from pgstore import transfer
from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store

PLACE = "host=other.example.net port=5433 dbname=shop"

# Constants, what is computed of an argument, and what a package asks before it does anything.
_ANSWER = {
    "applied_migrations",
    "begin_handling",
    "category",
    "check_handling",
    "horizon_age",
    "needed_version",
    "new_message_id",
    "schema_version",
    "wake_channel",
}

_ID = f"'{uuid4()}'"
_LEASE = "'sums', 0, TOKEN"
_TAGS = """'[{"tags": ["t"]}]'"""

_CALLS = {
    "abandon_partition": f"{_LEASE}, 'E'",
    "acknowledge": f"{_LEASE}, 1",
    "cancel_message": _ID,
    "claim_batch": "'{sums}', 'w'",
    "claim_batch_json": "'{sums}', 'w'",
    "claim_partition": "'{sums}', 'w'",
    "create_subscription": "'others'",
    "deliver_scheduled": "",
    "drop_parked": "'sums'",
    "drop_subscription": "'sums'",
    "extend_lease": _LEASE,
    "fail_message": f"{_LEASE}, 1, 'E'",
    "fall_asleep": "",
    "fetch_batch": _LEASE,
    "fetch_batch_json": _LEASE,
    "get_message": _ID,
    "get_messages": f"ARRAY[{_ID}]::uuid[]",
    "hold_subscription": "'sums'",
    "horizon": "",
    "last_message": "'a-1'",
    "last_position": "",
    "list_parked": "'sums'",
    "list_partitions": "",
    "list_scheduled": "",
    "list_subscriptions": "",
    "load_stream": "'a-1'",
    "next_claim": "'{sums}'",
    "pause_subscription": "'sums'",
    "position_before": "now()",
    "publish_horizon": "",
    "read_all": "",
    "read_category": "'a'",
    "read_correlated": "'x'",
    "read_matching": "",
    "read_matching_json": "",
    "read_page": "",
    "read_page_json": "",
    "read_stream": "'a-1'",
    "read_tagged": _TAGS,
    "read_tagged_json": _TAGS,
    "refilter_subscription": "'sums', '{b}'",
    "release_partition": _LEASE,
    "repartition_subscription": "'sums', 3",
    "replay_parked": "'sums'",
    "resume_subscription": "'sums'",
    "rewind_subscription": "'sums', 0",
    "safe_position": "",
    "save_snapshot": "'a-1', 's', 1, 1, '{}', 0",
    "schedule_message": "'a-1', 'T', '1', now()",
    "settle_parked": f"{_LEASE}, 1",
    "stream_version": "'a-1'",
    "subscription_position": "'sums'",
    "synchronize_stream": "'new-1', '{}', '{T}', '{1}'",
    "wake_up": "",
    "write_arrays": "'a-1', '{T}', '{1}'",
    "write_group": "'{a-1}', '{T}', '{1}', NULL, NULL, ARRAY[" + _ID + "]::uuid[]",
    "write_if": """'a-1', '[{"type": "T", "data": 1}]', '[{"tags": ["t"]}]', '0+'""",
    "write_message": "'a-1', 'T', '1'",
    "write_messages": """'a-1', '[{"type": "T", "data": 1}]'""",
}


@contextmanager
def closed(store: Store, place: str = PLACE) -> Iterator[None]:
    store.call("fence_store", place)
    try:
        yield
    finally:
        assert store.call("lift_fence") == [(True,)]


def wrong(store: Store) -> list[tuple[str, str | None]]:
    with store.conn.transaction():
        checks = transfer.verify(store.conn, store=store.name)
    return [(check.check, check.example) for check in checks if check.wrong]


def test_every_call_of_a_program_is_told_the_new_place(store: Store) -> None:
    store.write("a-1")
    store.call("create_subscription", "sums", ["a"])
    ((_, partition, token, *_),) = store.call("claim_partition", ["sums"], "w")[:1]
    assert partition == 0
    kinds = ("read", "write", "consume")
    names = {name for kind in kinds for name in store.call("_granted_names", kind)[0][0]}
    views = {
        name
        for (name,) in store.query(
            "SELECT relname FROM pg_class WHERE relkind = 'v'"
            " AND relnamespace = 'STORE'::regnamespace"
        )
    }
    assert names - views == _CALLS.keys() | _ANSWER
    answered = []
    with closed(store):
        for name, arguments in _CALLS.items():
            try:
                store.query(f"SELECT * FROM STORE.{name}({arguments.replace('TOKEN', str(token))})")
            except psycopg.Error as error:
                found = error.sqlstate, error.diag.message_detail
            else:
                found = None, None
            place = f'{{"store" : "{store.name}", "conninfo" : "{PLACE}"}}'
            if found != ("MS030", place):
                answered.append((name, found))
    assert answered == []
    store.call("drop_subscription", "sums")


def test_tables_refuse_changes_by_hand(store: Store) -> None:
    store.write("a-1")
    with closed(store):
        for statement in (
            "UPDATE STORE.messages SET type = 'B'",
            "DELETE FROM STORE.streams WHERE false",
            "TRUNCATE STORE.message_tags",
            "INSERT INTO STORE.grants (role, kind) VALUES ('x', 'read')",
        ):
            with store.refused("MS030", conninfo=PLACE):
                store.query(statement)


def test_closed_store_can_be_verified_and_reads_in_its_views(store: Store) -> None:
    stream = f"v-{uuid4()}"
    store.write(stream)
    with closed(store):
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
    with closed(store), pytest.raises(psycopg.Error) as caught:
        pgstore.install(server_conninfo, store=store.name)
    assert caught.value.sqlstate == "MS030"
    pgstore.install(server_conninfo, store=store.name)
    assert wrong(store) == []
