import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest

from tests.sql.store import Store

FILE = Path(__file__).parents[2] / "sql" / "functions" / "names" / "new_message_id.sql"


def own_expression() -> str:
    """What the function returns where PostgreSQL has no function of its own, before 18."""
    match = re.search(r"^RETURN (\(\n.*?^\));$", FILE.read_text(), re.DOTALL | re.MULTILINE)
    assert match
    return match[1]


@pytest.fixture(params=["installed", "own"])
def function(request: pytest.FixtureRequest, store: Store) -> str:
    """The function as installed here, and with its own body, whatever the server's version."""
    return "STORE.new_message_id" if request.param == "installed" else own(store, own_expression())


def own(store: Store, expression: str) -> str:
    store.query(
        "CREATE OR REPLACE FUNCTION pg_temp.own_message_id() RETURNS uuid LANGUAGE sql VOLATILE"
        f" PARALLEL SAFE RETURN {expression}"
    )
    return "pg_temp.own_message_id"


def made(store: Store, function: str, count: int = 1) -> list[UUID]:
    text = f"SELECT {function}() FROM generate_series(1, {count})"
    return [row[0] for row in store.query(text)]


def time_of(message_id: UUID) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=message_id.int >> 80)


def test_new_message_id_is_of_version_7(store: Store, function: str) -> None:
    for message_id in made(store, function, 300):
        assert message_id.version == 7
        assert message_id.variant == RFC_4122


def test_new_message_id_begins_with_the_time(store: Store, function: str) -> None:
    for _ in range(20):
        ((before,),) = store.query("SELECT clock_timestamp()").fetchall()
        (message_id,) = made(store, function)
        ((after,),) = store.query("SELECT clock_timestamp()").fetchall()
        assert before - timedelta(milliseconds=1) <= time_of(message_id) <= after


def test_new_message_id_is_in_order_from_call_to_call(store: Store, function: str) -> None:
    ids = [made(store, function)[0] for _ in range(200)]
    assert ids == sorted(ids)


def test_new_message_id_differs_within_a_microsecond(store: Store, function: str) -> None:
    ids = made(store, function, 5000)
    assert len(set(ids)) == 5000
    assert len({message_id.int & (2**62 - 1) for message_id in ids}) == 5000
    assert [time_of(message_id) for message_id in ids] == sorted(map(time_of, ids))


def test_new_message_id_has_the_fraction_of_the_millisecond(store: Store, function: str) -> None:
    fractions = {message_id.int >> 64 & 0xFFF for message_id in made(store, function, 5000)}
    assert len(fractions) > 50
    assert max(fractions) > 0xC00
    assert min(fractions) < 0x400


def test_new_message_id_own_expression_at_the_edges_of_a_millisecond(store: Store) -> None:
    """With the clock's microseconds replaced: the greatest fraction still fits its 12 bits."""
    clock = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    body = own_expression()
    assert clock in body
    edges = [0, 1, 499, 500, 999, 1000, 17 * 10**14, 17 * 10**14 + 999, 2**48 * 1000 - 1]
    ids = []
    for microseconds in edges:
        (message_id,) = made(store, own(store, body.replace(clock, f"{microseconds}::bigint")))
        assert message_id.version == 7
        assert message_id.int >> 80 == microseconds // 1000
        ids.append(message_id.int >> 64)
    assert ids == sorted(set(ids))


def test_new_message_id_is_native_from_18_on(store: Store) -> None:
    ((definition,),) = store.query(
        "SELECT pg_get_functiondef('STORE.new_message_id'::regproc)"
    ).fetchall()
    assert ("uuidv7()" in definition) == (store.conn.info.server_version >= 180000)
