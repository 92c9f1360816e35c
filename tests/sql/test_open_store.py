"""A store that is open to every role, as after a restore without rights: who is refused still."""

from collections.abc import Iterator

import pytest

from tests.attempts import allowed, granted, groups, statements
from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store

# What changes subscriptions for good, or makes them.
STEERING = {
    "create_subscription",
    "drop_subscription",
    "pause_subscription",
    "resume_subscription",
    "rewind_subscription",
    "repartition_subscription",
    "refilter_subscription",
    "replay_parked",
    "drop_parked",
}


@pytest.fixture
def role(store: Store) -> Iterator[str]:
    with new_role(store) as name:
        yield name


@pytest.fixture
def stranger(store: Store, role: str, connect: Connect) -> Connection:
    """A session of a role that may use the schema, in a store whose functions are PUBLIC's."""
    store.query("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA STORE TO PUBLIC")
    store.query(f"GRANT USAGE ON SCHEMA STORE TO {role}")
    return connect(user=role)


def guarded(store: Store) -> set[str]:
    by_group = groups(store, statements(store))
    return by_group["admin"] | by_group["owner"] | STEERING


def test_functions_for_the_owner_and_administrators_refuse_a_stranger(
    store: Store, stranger: Connection
) -> None:
    found = allowed(store, stranger, statements(store))
    assert found & guarded(store) == set()
    # So this is what an open store is: what a grant and an installation close.
    assert {"write_message", "read_all", "claim_batch"} <= found


def test_refusal_names_the_role_and_the_function(
    store: Store, role: str, stranger: Connection
) -> None:
    with store.refused("42501", role=role, function="delete_stream"):
        store.call("delete_stream", "a-1", None, on=stranger)


def test_owner_and_administrators_may_as_ever(
    store: Store, connect: Connect, stranger: Connection
) -> None:
    with new_role(store) as admin, new_role(store) as member:
        store.call("grant_access", admin, "admin")
        store.query(f"GRANT {admin} TO {member}")
        store.query("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA STORE TO PUBLIC")
        for conn in (store.conn, connect(user=admin), connect(user=member)):
            store.call("set_retention", "a", "1 year", on=conn)
            assert store.call("drop_retention", "a", on=conn) == [(True,)]
        with store.refused("42501", function="grant_access"):
            store.call("grant_access", member, "admin", on=connect(user=admin))


@pytest.mark.parametrize("change", ["grant", "revoke"])
def test_change_of_rights_closes_the_store(
    store: Store, connect: Connect, stranger: Connection, change: str
) -> None:
    """Whatever was open: the schema, functions, tables and columns."""
    for right in (
        "USAGE, CREATE ON SCHEMA STORE",
        "SELECT ON STORE.messages",
        "SELECT (data) ON STORE.messages",
        "SELECT ON STORE.all_messages",
        "USAGE ON SEQUENCE STORE.global_position_seq",
    ):
        store.query(f"GRANT {right} TO PUBLIC")
    with new_role(store) as other:
        if change == "revoke":
            store.query(f"INSERT INTO STORE.grants (role, kind) VALUES ('{other}', 'monitor')")
        store.call(f"{change}_access", other, "monitor")
        assert allowed(store, stranger, statements(store)) == set()
        names = granted(store)["monitor"] if change == "grant" else set()
        assert allowed(store, connect(user=other), statements(store)) == names


def test_restriction_of_a_writer_closes_the_store_too(
    store: Store, stream: str, stranger: Connection
) -> None:
    with new_role(store) as writer:
        store.call("grant_access", writer, "write", ["a"])
        with store.refused("42501"):
            store.write(stream, on=stranger)


def test_what_a_role_was_granted_by_name_counts_but_for_what_is_the_owners(
    store: Store, role: str, connect: Connect
) -> None:
    store.query("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA STORE TO PUBLIC")
    store.query(f"GRANT USAGE ON SCHEMA STORE TO {role}")
    store.query(f"GRANT EXECUTE ON FUNCTION STORE.drop_retention, STORE.grant_access TO {role}")
    conn = connect(user=role)
    store.call("set_retention", "a", "1 year")
    assert store.call("drop_retention", "a", on=conn) == [(True,)]
    with store.refused("42501", function="set_retention"):
        store.call("set_retention", "a", "1 year", on=conn)
    with store.refused("42501", function="grant_access"):
        store.call("grant_access", role, "admin", on=conn)


def test_function_of_a_role_that_may_lends_its_right_while_the_store_is_closed(
    store: Store, role: str, connect: Connect
) -> None:
    """The right of the role that a function runs as counts, as in the server."""
    with new_role(store, "NOLOGIN") as eraser:
        store.call("grant_access", eraser, "admin")
        store.query(f"CREATE SCHEMA of_eraser AUTHORIZATION {eraser}")
        try:
            store.query(f"GRANT USAGE ON SCHEMA of_eraser TO {role}")
            store.query(
                f"SET ROLE {eraser};"
                " CREATE FUNCTION of_eraser.forget(category text) RETURNS boolean LANGUAGE sql"
                " SECURITY DEFINER AS $$SELECT STORE.drop_retention(category)$$;"
                " RESET ROLE"
            )
            store.call("set_retention", "a", "1 year")
            forget = "SELECT of_eraser.forget('a')"
            assert store.query(forget, on=connect(user=role)).fetchall() == [(True,)]
            store.query("GRANT EXECUTE ON FUNCTION STORE.drop_retention TO PUBLIC")
            with store.refused("42501", role=role):
                store.query(forget, on=connect(user=role))
        finally:
            store.query("DROP SCHEMA of_eraser CASCADE")


def test_what_another_role_opened_is_closed(store: Store, role: str, connect: Connect) -> None:
    """The owner cannot revoke what a role with a grant option gave to PUBLIC."""
    conn = connect(user=role)
    for right in (
        "USAGE ON SCHEMA STORE",
        "EXECUTE ON ALL FUNCTIONS IN SCHEMA STORE",
        "SELECT ON ALL TABLES IN SCHEMA STORE",
        "SELECT ON ALL SEQUENCES IN SCHEMA STORE",
        "INSERT (type) ON STORE.messages",
    ):
        store.query(f"GRANT {right} TO {role} WITH GRANT OPTION")
        store.query(f"GRANT {right} TO PUBLIC", on=conn)
    with new_role(store) as other:
        stranger = connect(user=other)
        assert allowed(store, stranger, statements(store)) != set()
        store.call("grant_access", role, "monitor")
        assert allowed(store, stranger, statements(store)) == set()
    store.query(f"REVOKE ALL ON SCHEMA STORE FROM {role}")
