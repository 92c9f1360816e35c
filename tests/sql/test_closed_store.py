"""Each call of a closed store: none writes, draws a number or reads as if it were open."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store

PLACE = "host=other.example.net port=5433 dbname=shop"

_STORED = uuid4()
_ID = f"'{uuid4()}'"
_LEASE = "'sums', 0, TOKEN"
_TAGS = """'[{"tags": ["t"]}]'"""
_IMPORTED = f"'{{imported-1}}', '{{1}}', '{{T}}', '{{1}}', NULL, ARRAY[{_ID}]::uuid[], ARRAY[now()]"

# Functions of the store itself: what is installed, who did what, whether it is whole. Constants.
# And those that scripts of a failover call for all stores of a server.
_ANSWER = {
    "applied_migrations": "",
    "begin_handling": _LEASE,
    "category": "'a-1'",
    "check_handling": _LEASE,
    "fence_of_store": "",
    "fence_store": f"'{PLACE}'",
    "horizon_age": "",
    "import_times": "'{2026-01-02T03:04:05Z}'",
    "list_audit": "",
    "list_grants": "",
    "list_sequences": "",
    "needed_version": "",
    "new_message_id": "",
    "repair_sequences": "",
    "schema_version": "",
    "skip_positions": "",
    "verify_store": "",
    "wake_channel": "",
}

_REFUSED = {
    "abandon_partition": f"{_LEASE}, 'E'",
    "acknowledge": f"{_LEASE}, 1",
    "apply_retention": "",
    "cancel_message": _ID,
    "check_floors": "'{floors-1}', '{1}'",
    "check_messages": _IMPORTED,
    "claim_batch": "'{sums}', 'w'",
    "claim_batch_json": "'{sums}', 'w'",
    "claim_partition": "'{sums}', 'w'",
    "count_parked": "",
    "count_scheduled": "",
    "create_subscription": "'others'",
    "delete_stream": "'a-1'",
    "deliver_scheduled": "",
    "drop_parked": "'sums'",
    "drop_retention": "'a'",
    "drop_snapshots": "'s'",
    "drop_subscription": "'sums'",
    "empty_store": "'STORE'",
    "export_floors": "",
    "export_messages": "0, 100",
    "extend_lease": _LEASE,
    "fail_message": f"{_LEASE}, 1, 'E'",
    "fall_asleep": "",
    "fetch_batch": _LEASE,
    "fetch_batch_json": _LEASE,
    "get_message": _ID,
    "get_messages": f"ARRAY[{_ID}]::uuid[]",
    "grant_access": "'ROLE', 'read'",
    "health": "",
    "hold_subscription": "'sums'",
    "horizon": "",
    "import_floors": "'{floors-1}', '{1}'",
    "import_messages": _IMPORTED,
    "last_message": "'a-1'",
    "last_position": "",
    "list_parked": "'sums'",
    "list_partitions": "",
    "list_retention": "",
    "list_scheduled": "",
    "list_stuck": "",
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
    "redact_message": f"'{_STORED}', '0', 'reason'",
    "refilter_subscription": "'sums', '{b}'",
    "release_partition": _LEASE,
    "repartition_subscription": "'sums', 3",
    "replay_parked": "'sums'",
    "resume_subscription": "'sums'",
    "revoke_access": "'ROLE', 'read'",
    "rewind_subscription": "'sums', 0",
    "safe_position": "",
    "save_snapshot": "'a-1', 's', 1, 1, '{}', 0",
    "schedule_message": "'a-1', 'T', '1', now()",
    "set_retention": "'a', max_count => 1",
    "settle_parked": f"{_LEASE}, 1",
    "store_statistics": "",
    "stream_version": "'a-1'",
    "subscription_position": "'sums'",
    "synchronize_stream": "'new-1', '{}', '{T}', '{1}'",
    "truncate_stream": "'a-1', 2",
    "wake_up": "",
    "write_arrays": "'a-1', '{T}', '{1}'",
    "write_group": f"'{{a-1}}', '{{T}}', '{{1}}', NULL, NULL, ARRAY[{_ID}]::uuid[]",
    "write_if": f"""'a-1', '[{{"type": "T", "data": 1}}]', {_TAGS}, '0+'""",
    "write_message": "'a-1', 'T', '1'",
    "write_messages": """'a-1', '[{"type": "T", "data": 1}]'""",
}
# The same calls, otherwise: other branches of these functions.
_ALSO = [
    ("import_messages", f"{_IMPORTED}, '{{1000}}'"),
    ("publish_horizon", "'publisher'"),
    ("write_message", "'new-1', 'T', '1'"),
    ("write_message", f"'a-1', 'T', '1', message_id => {_ID}"),
    ("write_message", "'a-1', 'T', '1', tags => '{x}'"),
    ("write_message", "'a-1', 'T', '1', expected_version => 77"),
    # The new place may have the stream, and at that version.
    ("delete_stream", "'new-1'"),
    ("delete_stream", "'a-1', 77"),
    ("truncate_stream", "'new-1', 1"),
    ("truncate_stream", "'a-1', 77"),
    ("redact_message", f"{_ID}, '{{}}', 'why'"),
    ("save_snapshot", "'new-1', 'sums', 77, 1, '{}', 0"),
    ("save_snapshot", "'a-1', 'sums', 77, 1, '{}', 0"),
    ("set_retention", "'never', max_count => 5"),
    ("drop_subscription", "'never'"),
    ("pause_subscription", "'never'"),
    ("drop_retention", "'never'"),
    ("cancel_message", f"'{_STORED}'"),
    ("replay_parked", "'never'"),
    ("rewind_subscription", "'never', 1"),
]
# For the owner.
_OWNERS = {"fence_store", "grant_access", "repair_sequences", "revoke_access"}

_SEQUENCES = """
SELECT s.sequencename, s.last_value FROM pg_sequences AS s WHERE s.schemaname = 'STORE' ORDER BY 1
"""
_LOGGED = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'STORE'::regnamespace AND c.relkind = 'r' AND c.relpersistence = 'p'
  AND c.relname <> 'store_fence'
ORDER BY 1
"""


def answer(store: Store, on: Connection, call: str) -> tuple[str | None, str | None]:
    """Code and DETAIL of the error of a call."""
    try:
        store.query(f"SELECT * FROM STORE.{call}", on=on)
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_detail
    return None, None


@pytest.fixture
def filled(store: Store) -> Iterator[str]:
    """Have something for each call; the token of a lease."""
    store.write("a-1", message_id=_STORED)
    store.call("create_subscription", "sums", ["a"])
    ((_, partition, token, *_),) = store.call("claim_partition", ["sums"], "w")[:1]
    assert partition == 0
    store.call("fetch_batch", "sums", 0, token)  # a second one of the same size changes no row
    yield str(token)
    store.call("drop_subscription", "sums")


def test_every_call_is_told_the_new_place_or_is_about_the_store_itself(
    store: Store, connect: Connect, filled: str
) -> None:
    """The session has planned the calls before. The role has rights on functions alone."""
    found = store.query(
        "SELECT p.proname FROM pg_proc AS p"
        " WHERE p.pronamespace = 'STORE'::regnamespace AND NOT starts_with(p.proname, '_')"
    )
    assert {name for (name,) in found} - {"lift_fence"} == _REFUSED.keys() | _ANSWER.keys()
    with new_role(store) as role:
        store.call("grant_access", role, "admin")
        sessions = [connect(user=role), connect(user=role)]
        owners = [connect(), connect()]

        def called(number: int, name: str, arguments: str) -> tuple[str | None, str | None]:
            on = (owners if name in _OWNERS else sessions)[number]
            given = arguments.replace("TOKEN", filled).replace("ROLE", role)
            return answer(store, on, f"{name}({given})")

        calls = [*_REFUSED.items(), *_ALSO]
        for name, arguments in calls:
            for _ in range(6):
                with (owners if name in _OWNERS else sessions)[0].transaction(force_rollback=True):
                    called(0, name, arguments)
        sessions[0].execute("SELECT pg_advisory_unlock_all()")
        place = f'{{"store" : "{store.name}", "conninfo" : "{PLACE}"}}'
        with store.closed(PLACE):
            drawn = store.query(_SEQUENCES).fetchall()
            wrong = [
                (number, name, got)
                for number in (0, 1)
                for name, arguments in calls
                if (got := called(number, name, arguments)) != ("MS030", place)
            ]
            assert wrong == []
            assert store.query(_SEQUENCES).fetchall() == drawn
            wrong = [
                (0, name, got)
                for name, arguments in _ANSWER.items()
                if (got := called(0, name, arguments))[0] not in {None, "MS023"}
            ]
            assert wrong == []


def test_every_view_shows_the_store_but_that_of_writers(store: Store) -> None:
    store.write("a-1")
    views = store.query(
        "SELECT c.relname FROM pg_class AS c"
        " WHERE c.relnamespace = 'STORE'::regnamespace AND c.relkind = 'v'"
    ).fetchall()
    with store.closed(PLACE):
        refused = {name for (name,) in views if answer(store, store.conn, name) != (None, None)}
    assert refused == {"writers_in_flight"}


def changes(store: Store, table: str) -> Iterator[str]:
    """Statements of the owner, each of another kind, which change no row."""
    ((column,),) = store.query(
        "SELECT a.attname FROM pg_attribute AS a"
        f" WHERE a.attrelid = 'STORE.{table}'::regclass AND a.attnum = 1"
    )
    for statement in (
        "INSERT INTO STORE.TABLE SELECT * FROM STORE.TABLE WHERE false",
        f"UPDATE STORE.TABLE SET {column} = {column} WHERE false",
        "DELETE FROM STORE.TABLE WHERE false",
        "WITH gone AS (DELETE FROM STORE.TABLE WHERE false RETURNING 1) SELECT 1",
        "TRUNCATE STORE.TABLE",
        "COPY STORE.TABLE FROM STDIN",
    ):
        yield statement.replace("STORE", store.name).replace("TABLE", table)


def changed(store: Store, statement: str) -> str | None:
    """The code of a statement's error."""
    try:
        if statement.startswith("COPY"):
            with store.conn.cursor().copy(statement.encode()):
                pass
        else:
            store.query(statement)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def test_every_change_of_every_table_is_refused(store: Store) -> None:
    """Of all tables but unlogged ones, which keep nothing of the store."""
    tables = [name for (name,) in store.query(_LOGGED)]
    assert {"messages", "streams", "migrations"} < set(tables)
    statements = [each for table in tables for each in changes(store, table)]
    with store.closed(PLACE):
        assert [each for each in statements if changed(store, each) != "MS030"] == []


def test_role_with_a_right_given_by_hand_is_told_the_place(store: Store, connect: Connect) -> None:
    with new_role(store) as role:
        store.query(f"GRANT USAGE ON SCHEMA STORE TO {role}")
        store.query(f"GRANT SELECT, INSERT ON STORE.streams TO {role}")
        with store.closed(PLACE), store.refused("MS030", conninfo=PLACE):
            store.query(
                "INSERT INTO STORE.streams SELECT * FROM STORE.streams", on=connect(user=role)
            )
