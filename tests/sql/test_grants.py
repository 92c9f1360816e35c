"""Rights by kind: what a role may do after a grant, and after it was taken back."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store, drop
from tests.sql.test_rights import relations, routines, statements

KINDS = ["read", "write", "consume", "monitor", "admin"]

# Functions that change rights: for the owner, whatever was granted.
OWNERS = {"grant_access", "revoke_access", "repair_sequences", "fence_store", "lift_fence"}


@pytest.fixture
def role(store: Store) -> Iterator[str]:
    with new_role(store) as name:
        yield name


def granted(store: Store, kind: str) -> set[str]:
    ((names,),) = store.query("SELECT STORE._granted_names(%s)", [kind]).fetchall()
    return set(names)


def allowed(store: Store, conn: Connection) -> set[str]:
    """Names of the functions and views that the session may use, found by using them."""
    found = set()
    for name, call in routines(store):
        try:
            with conn.transaction(force_rollback=True):
                store.query("SET LOCAL lock_timeout = '1s'", on=conn)
                store.query(call, on=conn)
        except psycopg.errors.InsufficientPrivilege:
            continue
        except psycopg.Error:
            pass
        found.add(name)
    for name, kind in relations(store):
        try:
            store.query(f"SELECT FROM STORE.{name} LIMIT 1", on=conn)
        except psycopg.errors.InsufficientPrivilege:
            continue
        assert kind == "v", name
        found.add(name)
    return found


def grant(store: Store, kind: str, role: str) -> None:
    store.call("grant_access", role, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_role_may_do_what_was_granted_and_nothing_else(
    store: Store, role: str, connect: Connect, kind: str
) -> None:
    conn = connect(user=role)
    assert allowed(store, conn) == set()
    grant(store, kind, role)
    assert allowed(store, conn) == granted(store, kind)
    assert store.call("revoke_access", role, kind) == [(True,)]
    assert allowed(store, conn) == set()
    assert store.call("revoke_access", role, kind) == [(False,)]


@pytest.mark.parametrize("kind", KINDS)
def test_role_may_touch_no_table(store: Store, role: str, connect: Connect, kind: str) -> None:
    grant(store, kind, role)
    conn = connect(user=role)
    views = {name for name, relation in relations(store) if relation == "v"}
    for text in statements(store):
        if text.rpartition(".")[2] not in views:
            with store.refused("42501"):
                store.query(text, on=conn)
    for text in (
        "UPDATE STORE.messages SET type = 'x'",
        "UPDATE STORE.all_messages SET type = 'x'",
        "DELETE FROM STORE.type_statistics",
        "CREATE TABLE STORE.own (n int)",
        "CREATE FUNCTION STORE.own() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE OR REPLACE FUNCTION STORE._acting_role() RETURNS text LANGUAGE sql RETURN 'x'",
        "DROP FUNCTION STORE._refuse_target(text, bigint)",
        "ALTER FUNCTION STORE.write_message SECURITY INVOKER",
        "DROP SCHEMA STORE CASCADE",
        "COPY STORE.messages TO STDOUT",
    ):
        with store.refused("55000" if text.startswith(("UPDATE STORE.all", "DELETE")) else "42501"):
            store.query(text, on=conn)


def test_every_function_for_callers_belongs_to_somebody(store: Store) -> None:
    rows = store.query(
        """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = %s::regnamespace
          AND NOT starts_with(p.proname, '_')
        """,
        [store.name],
    ).fetchall()
    views = {name for name, kind in relations(store) if kind == "v"}
    assert {name for (name,) in rows} | views <= granted(store, "admin") | OWNERS
    everything = {name for name, _ in routines(store) + relations(store)}
    for kind in KINDS:
        assert granted(store, kind) <= everything
    # What an internal function is granted for.
    internal = granted(store, "admin") - {name for (name,) in rows} - views
    assert internal == {
        "_bell_lock_class",
        "_foreign_locks",
        "_gate_lock_class",
        "_mark_lock_class",
        "_may_lock",
        "_open_marks",
        "_server_health",
        "_stream_lock_class",
        "_subscription_health",
        "_tag_lock_class",
    }


def test_what_two_kinds_give_stays_until_both_are_revoked(
    store: Store, role: str, connect: Connect
) -> None:
    grant(store, "read", role)
    grant(store, "consume", role)
    conn = connect(user=role)
    store.call("revoke_access", role, "consume")
    assert allowed(store, conn) == granted(store, "read")
    grant(store, "admin", role)
    store.call("revoke_access", role, "read")
    assert allowed(store, conn) == granted(store, "admin")


def test_list_grants_tells_who_may_what(store: Store, role: str) -> None:
    grant(store, "read", role)
    store.call("grant_access", role, "write", ["b", "a"])
    mine = [row for row in store.call("list_grants") if row[0] == role]
    assert mine == [(role, "read", None, True), (role, "write", ["b", "a"], True)]
    store.query(f"DROP OWNED BY {role}")
    store.query(f"DROP ROLE {role}")
    assert [row[3] for row in store.call("list_grants") if row[0] == role] == [False, False]
    assert store.call("revoke_access", role, "read") == [(True,)]


@pytest.mark.parametrize("kind", ["read", "monitor"])
def test_role_made_anew_has_what_it_was_granted_and_not_what_the_old_one_had(
    store: Store, role: str, connect: Connect, kind: str
) -> None:
    """Not at the next upgrade either, and nothing stays when it is revoked."""
    for old in ("admin", "write", "consume"):
        grant(store, old, role)
    store.query(f"DROP OWNED BY {role}; DROP ROLE {role}; CREATE ROLE {role} LOGIN")
    assert [row[3] for row in store.call("list_grants") if row[0] == role] == [False] * 3
    conn = connect(user=role)
    grant(store, kind, role)
    store.call("_restore_grants")
    assert allowed(store, conn) == granted(store, kind)
    assert [row[1] for row in store.call("list_grants") if row[0] == role] == [kind]
    store.call("revoke_access", role, kind)
    assert allowed(store, conn) == set()


def test_upgrade_restores_a_kind_of_which_functions_were_made_anew(
    store: Store, role: str, connect: Connect
) -> None:
    grant(store, "write", role)
    store.query(f"REVOKE EXECUTE ON FUNCTION STORE.write_arrays, STORE.write_message FROM {role}")
    store.call("_restore_grants")
    assert allowed(store, connect(user=role)) == granted(store, "write")


@pytest.mark.parametrize("kind", KINDS)
def test_owner_is_granted_nothing_and_nothing_is_taken_from_him(
    store: Store, role: str, connect: Connect, server_conninfo: str, kind: str
) -> None:
    """Functions run as the owner: without his rights they could not call one another."""
    name = f"{store.name}_own"
    store.query(f"CREATE SCHEMA {name} AUTHORIZATION {role}")
    try:
        pgstore.install(make_conninfo(server_conninfo, user=role), store=name)
        own, conn = Store(store.conn, name), connect(user=role)
        with own.refused("22023", argument="role"):
            own.call("grant_access", role, kind, on=conn)
        own.query("INSERT INTO STORE.grants (role, kind) VALUES (%s, %s)", [role, kind])
        assert own.call("revoke_access", role, kind, on=conn) == [(True,)]
        lost = own.query(
            "SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = %s::regnamespace"
            " AND NOT has_function_privilege(%s, p.oid, 'EXECUTE')",
            [name, role],
        ).fetchall()
        assert lost == []
        own.call("synchronize_stream", "account-1", [], ["A"], ["1"], on=conn)
    finally:
        store.query(f"DROP SCHEMA {name} CASCADE")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["public", "PUBLIC", "none", "", None, "no_such_role", "a; b"])
def test_grant_refuses_who_is_no_role(store: Store, kind: str, name: str | None) -> None:
    with store.refused("22023", argument="role"):
        store.call("grant_access", name, kind)


@pytest.mark.parametrize("categories", [[], [None], ["a", None], ["a-1"], ["-"], [["a"], ["b"]]])
def test_grant_access_refuses_what_is_no_category(
    store: Store, role: str, categories: list[Any]
) -> None:
    with store.refused("22023", argument="categories"):
        store.call("grant_access", role, "write", categories)


@pytest.mark.parametrize("kind", [None, "", "Read", "owner"])
def test_what_is_no_kind_of_rights_is_refused(store: Store, role: str, kind: str | None) -> None:
    with store.refused("22023", argument="kind", kind=kind):
        store.call("grant_access", role, kind)
    with store.refused("22023", argument="kind", kind=kind):
        store.call("revoke_access", role, kind)


@pytest.mark.parametrize("kind", ["read", "consume", "monitor", "admin"])
def test_only_write_is_granted_for_categories(store: Store, role: str, kind: str) -> None:
    with store.refused("22023", argument="categories"):
        store.call("grant_access", role, kind, ["a"])


def test_grants_take_any_name_of_a_role(store: Store, connect: Connect) -> None:
    name = f'My "odd" % röle; {uuid4().hex[:8]}'
    quoted = '"' + name.replace('"', '""') + '"'
    store.conn.execute(f"CREATE ROLE {quoted} LOGIN".encode())
    try:
        store.call("grant_access", name, "write", ["odd"])
        conn = connect(user=name)
        assert store.write("odd-1", on=conn)[0] == 1
        with store.refused("42501", role=name, category="account", stream="account-1"):
            store.write("account-1", on=conn)
        store.call("revoke_access", name, "write")
    finally:
        store.conn.execute(f"DROP OWNED BY {quoted}".encode())
        store.conn.execute(f"DROP ROLE {quoted}".encode())


def test_grants_are_in_the_audit(store: Store, role: str) -> None:
    store.call("grant_access", role, "write", ["a"])
    store.call("revoke_access", role, "write")
    assert [row[4:] for row in store.call("list_audit", 2)] == [
        ("revoke_access", role, None, {"kind": "write"}),
        ("grant_access", role, None, {"kind": "write", "categories": ["a"]}),
    ]


def test_audit_names_the_session_and_the_role_that_acts(
    store: Store, stream: str, role: str, connect: Connect
) -> None:
    grant(store, "admin", role)
    store.write(stream)
    with new_role(store) as person:
        store.query(f"GRANT {role} TO {person}")
        conn = connect(user=person)
        store.call("truncate_stream", stream, 1, on=conn)
        assert store.call("list_audit", 1)[0][2:4] == (person, person)
        store.query(f"SET ROLE {role}", on=conn)
        store.call("truncate_stream", stream, 1, on=conn)
        assert store.call("list_audit", 1, on=conn)[0][2:4] == (person, role)


def test_own_objects_of_the_same_names_hide_nothing_from_the_audit(
    store: Store, role: str, connect: Connect
) -> None:
    grant(store, "admin", role)
    stream = f"c{uuid4().hex[:12]}"
    for _ in range(3):
        store.write(stream)
    conn = connect(user=role)
    for name, kind in relations(store):
        if kind != "S":
            conn.execute(f"CREATE TEMP TABLE {name} (stream_id bigint, stream text)".encode())
    for name in ("_record_audit(text, text, text, jsonb)", "hashtext(text)", "_acting_role()"):
        conn.execute(
            f"CREATE FUNCTION pg_temp.{name} RETURNS text LANGUAGE plpgsql"
            " AS $$BEGIN RAISE EXCEPTION 'hijacked'; END$$".encode()
        )
    conn.execute("SET search_path TO pg_temp, pg_catalog")
    assert store.call("truncate_stream", stream, 2, on=conn) == [(1,)]
    store.call("set_retention", stream, max_count=1, on=conn)
    assert store.call("apply_retention", on=conn) == [(1, False)]
    assert store.call("delete_stream", stream, 3, on=conn) == [(1,)]
    assert [row[2:6] for row in store.call("list_audit", 4)] == [
        (role, role, "delete_stream", stream),
        (role, role, "apply_retention", stream),
        (role, role, "set_retention", stream),
        (role, role, "truncate_stream", stream),
    ]
    store.call("drop_retention", stream)


def test_rights_of_one_store_are_none_in_another(
    store: Store, role: str, connect: Connect, server_conninfo: str
) -> None:
    grant(store, "admin", role)
    other = Store(store.conn, store.name + "_other")
    pgstore.install(server_conninfo, store=other.name)
    try:
        assert allowed(other, connect(user=role)) == set()
    finally:
        drop(server_conninfo, other.name)
