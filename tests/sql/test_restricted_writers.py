"""A role that may write to some categories only, and its attempts to write to others."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store

OWN = "mine"

# Streams that look as if they were of the category.
FOREIGN = [
    "account-1",
    "account",
    "Mine-1",
    "mine1-1",
    "min-e",
    " mine-1",
    "mine -1",
    "-mine",
    "-",
    "account-mine",
    "\uff4dine-1",
    "mi\u0301ne-1",
    "mine\n-1",
    "m%-1",
    "mine+1",
]


@pytest.fixture
def role(store: Store) -> Iterator[str]:
    with new_role(store) as name:
        store.call("grant_access", name, "write", [OWN, "also mine"])
        yield name


@pytest.fixture
def writer(role: str, connect: Connect) -> Connection:
    return connect(user=role)


def write_all_ways(store: Store, stream: str, on: Connection) -> None:
    store.write(stream, on=on)
    store.call("write_arrays", stream, ["A", "B"], ["1", "2"], on=on)
    store.call("write_messages", stream, '[{"type": "A", "data": 1}]', on=on)
    ids = [row[0] for row in store.call("read_stream", stream)]
    store.call("synchronize_stream", stream, ids, ["A"], ["1"], on=on)
    condition = json.dumps([{"tags": [f"a:{uuid4()}"]}])
    store.call("write_if", stream, '[{"type": "A", "data": 1}]', condition, "0+", on=on)
    assert store.call("save_snapshot", stream, "s", 1, 1, "{}", 0, on=on) == [(True,)]


def refused_all_ways(store: Store, stream: str, on: Connection) -> None:
    ids = [row[0] for row in store.call("read_stream", stream)]
    calls: list[tuple[str, list[object]]] = [
        ("write_message", ["A", "1"]),
        ("write_arrays", [["A", "B"], ["1", "2"]]),
        ("write_messages", ['[{"type": "A", "data": 1}]']),
        ("synchronize_stream", [ids, ["A"], ["1"]]),
        ("save_snapshot", ["s", 1, 1, "{}", 0]),
    ]
    for function, given in calls:
        with store.refused("42501", stream=stream):
            store.call(function, stream, *given, on=on)


def test_restricted_writer_writes_to_its_categories(store: Store, writer: Connection) -> None:
    for stream in (f"{OWN}-{uuid4()}", "also mine", f"also mine-{uuid4()}"):
        write_all_ways(store, stream, writer)


@pytest.mark.parametrize("stream", FOREIGN)
@pytest.mark.parametrize("exists", [False, True])
def test_restricted_writer_writes_to_no_other_category(
    store: Store, writer: Connection, stream: str, exists: bool
) -> None:
    if exists:
        store.write(stream)
    refused_all_ways(store, stream, writer)


def test_refusal_names_the_role_and_the_category(
    store: Store, role: str, writer: Connection
) -> None:
    with store.refused("42501", role=role, stream="account-7", category="account"):
        store.write("account-7", on=writer)


def test_repetition_outside_its_categories_is_refused_too(
    store: Store, stream: str, writer: Connection
) -> None:
    """It would tell where the message is."""
    message_id = uuid4()
    store.write(stream, "A", "{}", None, 0, message_id)
    with store.refused("42501"):
        store.write(stream, "A", "{}", None, 0, message_id, on=writer)


def test_set_role_does_not_widen_a_right(
    store: Store, role: str, writer: Connection, connect: Connect
) -> None:
    """What the session sets, it is a member of."""
    with ExitStack() as stack:
        other = stack.enter_context(new_role(store))
        store.call("grant_access", other, "write", ["other"])
        with store.refused("42501"):
            store.query(f"SET ROLE {other}", on=writer)
        for text in (
            f"SELECT set_config('role', '{other}', false)",
            "SET SESSION AUTHORIZATION postgres",
            "SELECT set_config('session_authorization', 'postgres', false)",
            "SET ROLE postgres",
        ):
            with store.refused("42501"):
                store.query(text, on=writer)
        store.query(
            f"GRANT {other} TO {role} WITH INHERIT FALSE"
            if _has_inherit(store)
            else f"ALTER ROLE {role} NOINHERIT; GRANT {other} TO {role}"
        )
        again = connect(user=role)
        refused_all_ways(store, "other-1", again)
        store.query(f"SET ROLE {other}", on=again)
        write_all_ways(store, f"other-{uuid4()}", again)
        refused_all_ways(store, f"{OWN}-1", again)


def _has_inherit(store: Store) -> bool:
    return store.conn.info.server_version >= 160000


def test_widest_inherited_right_counts(store: Store, role: str, writer: Connection) -> None:
    with new_role(store) as other:
        store.call("grant_access", other, "write", ["other"])
        store.query(f"GRANT {other} TO {role}")
        write_all_ways(store, f"other-{uuid4()}", writer)
        refused_all_ways(store, "third-1", writer)
        store.call("grant_access", other, "write")
        write_all_ways(store, f"third-{uuid4()}", writer)
        store.query(f"REVOKE {other} FROM {role}")
        refused_all_ways(store, "third-1", writer)


def test_write_granted_again_replaces_the_categories(
    store: Store, role: str, writer: Connection
) -> None:
    store.call("grant_access", role, "write", ["new"])
    refused_all_ways(store, f"{OWN}-1", writer)
    write_all_ways(store, f"new-{uuid4()}", writer)
    store.call("grant_access", role, "write")
    write_all_ways(store, f"account-{uuid4()}", writer)


def test_admin_and_owner_are_not_restricted(store: Store, role: str, writer: Connection) -> None:
    write_all_ways(store, f"account-{uuid4()}", store.conn)
    store.call("grant_access", role, "admin")
    write_all_ways(store, f"account-{uuid4()}", writer)


def test_settings_of_the_session_do_not_widen_a_right(store: Store, writer: Connection) -> None:
    for name, value in [
        ("pgstore.role", "postgres"),
        ("pgstore.schema", "other"),
        ("search_path", "pg_temp, public"),
        ("row_security", "off"),
        ("default_transaction_isolation", "serializable"),
        ("check_function_bodies", "off"),
    ]:
        store.query("SELECT set_config(%s, %s, false)", [name, value], on=writer)
    refused_all_ways(store, "account-1", writer)


def test_own_objects_of_the_same_names_do_not_widen_a_right(
    store: Store, role: str, writer: Connection
) -> None:
    ((database,),) = store.query("SELECT current_database()").fetchall()
    store.query(f'GRANT CREATE, TEMPORARY ON DATABASE "{database}" TO {role}')
    writer.execute("CREATE SCHEMA hijack")
    try:
        writer.execute("CREATE TEMP TABLE grants (role text, kind text, categories text[])")
        writer.execute("CREATE TEMP TABLE pg_roles (oid oid, rolname name)")
        for schema in ("hijack", "pg_temp"):
            for function, result in {
                "_acting_role()": "text",
                "category(text)": "text",
                "pg_has_role(text, name, text)": "boolean",
                "pg_has_role(text, oid, text)": "boolean",
                "_refuse_target(text, bigint)": "void",
                "current_setting(text)": "text",
                "text_eq(text, text)": "boolean",
            }.items():
                writer.execute(
                    f"CREATE FUNCTION {schema}.{function} RETURNS {result} LANGUAGE plpgsql"
                    " AS $$BEGIN RAISE EXCEPTION 'hijacked'; END$$".encode()
                )
            writer.execute(
                f"CREATE OPERATOR {schema}.= (LEFTARG = text, RIGHTARG = text,"
                f" FUNCTION = {schema}.text_eq)".encode()
            )
        for path in ("pg_temp, hijack", "hijack, pg_temp, pg_catalog"):
            writer.execute(f"SET search_path TO {path}".encode())
            refused_all_ways(store, "account-1", writer)
            write_all_ways(store, f"{OWN}-{uuid4()}", writer)
    finally:
        store.query("DROP SCHEMA hijack CASCADE")


def test_function_of_another_role_does_not_widen_a_right(
    store: Store, role: str, writer: Connection
) -> None:
    """The session's role counts, not the one that a SECURITY DEFINER function runs as."""
    with new_role(store, "NOLOGIN") as other:
        store.call("grant_access", other, "write")
        store.query(f"CREATE SCHEMA of_other AUTHORIZATION {other}")
        try:
            store.query(f"GRANT USAGE ON SCHEMA of_other TO {role}")
            store.query(
                f"SET ROLE {other};"
                " CREATE FUNCTION of_other.write(s text) RETURNS record LANGUAGE sql"
                " SECURITY DEFINER AS $$SELECT STORE.write_message(s, 'A', '1')$$;"
                " RESET ROLE"
            )
            with store.refused("42501"):
                store.query("SELECT of_other.write('account-1')", on=writer)
            store.query(f"SELECT of_other.write('{OWN}-1')", on=writer)
        finally:
            store.query("DROP SCHEMA of_other CASCADE")


def test_role_made_anew_under_a_name_that_had_rights_has_none(
    store: Store, role: str, writer: Connection
) -> None:
    with new_role(store) as other:
        store.call("grant_access", other, "write")
        store.query(f"DROP OWNED BY {other}")
        store.query(f"DROP ROLE {other}")
        store.query(f"CREATE ROLE {other}")
        store.query(f"GRANT {other} TO {role}")
        refused_all_ways(store, "account-1", writer)


def test_role_made_anew_is_restricted_whatever_the_old_one_was(
    store: Store, connect: Connect
) -> None:
    with new_role(store) as other:
        store.call("grant_access", other, "admin")
        store.query(f"DROP OWNED BY {other}; DROP ROLE {other}; CREATE ROLE {other} LOGIN")
        store.call("grant_access", other, "write", [OWN])
        conn = connect(user=other)
        refused_all_ways(store, "account-1", conn)
        write_all_ways(store, f"{OWN}-{uuid4()}", conn)


def test_renamed_role_has_no_right_until_it_is_granted_again(
    store: Store, connect: Connect
) -> None:
    with new_role(store) as name, new_role(store, "NOLOGIN") as _:
        store.call("grant_access", name, "write", ["a"])
        store.query(f"ALTER ROLE {name} RENAME TO {name}_new")
        try:
            conn = connect(user=f"{name}_new")
            refused_all_ways(store, "a-1", conn)
            store.call("grant_access", f"{name}_new", "write", ["a"])
            write_all_ways(store, f"a-{uuid4()}", conn)
            conn.close()
            store.call("revoke_access", f"{name}_new", "write")
        finally:
            store.query(f"ALTER ROLE {name}_new RENAME TO {name}")


def test_first_restriction_locks_nobody_out(store: Store, role: str, connect: Connect) -> None:
    """Who writes by a right that grant_access does not know is named, not refused later."""
    store.call("revoke_access", role, "write")
    with new_role(store) as by_hand:
        store.query(f"GRANT USAGE ON SCHEMA STORE TO {by_hand}")
        store.query(f"GRANT EXECUTE ON FUNCTION STORE.write_message TO {by_hand}")
        conn = connect(user=by_hand)
        store.write(f"account-{uuid4()}", on=conn)
        with store.refused("55000", roles=[by_hand]):
            store.call("grant_access", role, "write", [OWN])
        store.call("grant_access", by_hand, "write")
        store.call("grant_access", role, "write", [OWN])
        store.write(f"account-{uuid4()}", on=conn)


def test_when_nobody_is_restricted_any_right_will_do(
    store: Store, stream: str, connect: Connect
) -> None:
    assert [row for row in store.call("list_grants") if row[2] is not None] == []
    with new_role(store) as by_hand:
        store.query(f"GRANT USAGE ON SCHEMA STORE TO {by_hand}")
        store.query(f"GRANT EXECUTE ON FUNCTION STORE.write_message TO {by_hand}")
        assert store.write(stream, on=connect(user=by_hand))[0] == 1


def test_restricted_writer_learns_nothing_of_other_streams(
    store: Store, writer: Connection
) -> None:
    """Not by comparing ids, nor by using one again."""
    other = f"account-{uuid4()}"
    store.write(other)
    ((message_id, *_),) = store.call("read_stream", other)
    for known in ([], [message_id], [str(uuid4())]):
        for types, data in (("{}", "{}"), ("{A}", "{1}")):
            with store.refused("42501"):
                store.call("synchronize_stream", other, known, types, data, on=writer)
    hidden = {"message_id": str(message_id), "stream": "", "version": 0, "global_position": 0}
    with store.refused("MS002", **hidden):
        store.call("write_message", f"{OWN}-1", "A", "1", message_id=message_id, on=writer)
    store.write(f"{OWN}-2", on=writer)
    ((own_id, *_),) = store.call("read_stream", f"{OWN}-2")
    with store.refused("MS002", message_id=str(own_id), stream=f"{OWN}-2", version=1):
        store.call("write_message", f"{OWN}-3", "A", "1", message_id=own_id, on=writer)


def test_error_of_a_condition_does_not_tell_of_a_category_that_the_role_may_not_write_to(
    store: Store, writer: Connection
) -> None:
    tag = f"a:{uuid4()}"
    condition = json.dumps([{"tags": [tag]}])
    with store.refused("42501", stream="account-1"):
        message = '[{"type": "A", "data": 1}]'
        store.call("write_if", "account-1", message, condition, "0+", on=writer)
    store.call("write_message", f"account-{uuid4()}", "Secret", "1", tags=[tag])
    with store.refused("MS009", stream="", version=0, type=""):
        store.call(
            "write_message", f"{OWN}-1", "A", "1", condition=condition, decided_upon="0+", on=writer
        )
    with pytest.raises(psycopg.Error) as caught:
        store.call(
            "write_message", f"{OWN}-1", "A", "1", condition=condition, decided_upon="0+", on=writer
        )
    told = {field: getattr(caught.value.diag, field) for field in dir(caught.value.diag)}
    assert "account" not in str(told)
    assert "Secret" not in str(told)


def test_no_error_names_a_stream_that_the_role_may_not_write_to(
    store: Store, writer: Connection
) -> None:
    stream, scheduled, written, unused = f"account-{uuid4()}", uuid4(), uuid4(), uuid4()
    store.call("schedule_message", stream, "A", "{}", "2100-01-01", message_id=scheduled)
    store.write(stream, message_id=written)
    calls: list[tuple[str, list[object]]] = [
        ("cancel_message", [scheduled]),
        ("schedule_message", ["mine-1", "B", "{}", "2100-01-01", None, scheduled]),
        ("schedule_message", ["mine-1", "B", "{}", "2100-01-01", None, written]),
        ("write_message", ["mine-1", "A", "{}", None, None, written]),
        ("write_arrays", ["mine-1", ["A", "A"], ["{}", "{}"], None, None, [unused, written]]),
        ("synchronize_stream", ["mine-1", [], ["A"], ["{}"], None, [written]]),
    ]
    for function, given in calls:
        with pytest.raises(psycopg.Error) as caught:
            store.call(function, *given, on=writer)
        diag = caught.value.diag
        assert diag.sqlstate in ("42501", "MS002"), function
        told = {field: getattr(diag, field) for field in dir(diag) if field[0] != "_"}
        assert "account" not in str(told), function
        detail = json.loads(diag.message_detail or "{}")
        assert not any(detail.get(key) for key in ("stream", "version", "global_position"))


@pytest.mark.parametrize("exists", [False, True])
def test_right_is_looked_at_before_a_condition(
    store: Store, writer: Connection, exists: bool
) -> None:
    """Whether a message is in the way or not, the answer is the same."""
    tag, stream = f"course:{uuid4()}", f"account-{uuid4()}"
    store.call("write_message", f"account-{uuid4()}", "A", "1", tags=[tag])
    if exists:
        store.write(stream)
    condition = json.dumps([{"tags": [tag]}])
    with store.refused("42501", stream=stream):
        store.call("write_if", stream, '[{"type": "A", "data": 1}]', condition, "0+", on=writer)
