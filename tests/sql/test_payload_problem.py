"""A payload whose text is far longer than itself is refused: no reader would come past it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.sql.store import Store

NOW = datetime(2024, 2, 29, tzinfo=UTC)

# 12 bytes each, and as many digits as the exponent says.
FEW = f"[{','.join(['1e131071'] * 60)}]"
LONG = f"[{','.join(['1e2000'] * 1_600)}]"
# As a text more than PostgreSQL can send: each reader of the store would fail on it.
UNREADABLE = f"[{','.join(['1e131071'] * 9_000)}]"
ZEROS = f"[{','.join(['0.' + '0' * 16_000] * 2_000)}]"


@pytest.mark.parametrize("value", [UNREADABLE, ZEROS])
def test_payload_that_is_far_longer_as_a_text_is_refused(
    store: Store, stream: str, value: str
) -> None:
    with store.refused("22023", argument="data"):
        store.write(stream, "A", value)


def test_every_way_in_refuses_a_payload_that_is_far_longer_as_a_text(
    store: Store, stream: str
) -> None:
    store.write(stream)
    for data, metadata, argument in ((LONG, None, "data"), ("1", f'{{"a":{LONG}}}', "metadata")):
        one = (["A"], [data], [metadata])
        message = f'[{{"type": "A", "data": {data}, "metadata": {metadata or "null"}}}]'
        with store.refused("22023", argument=argument):
            store.write(stream, "A", data, metadata)
        with store.refused("22023", argument=argument, index=0):
            store.call("write_messages", stream, message)
        with store.refused("22023", argument=argument, index=0):
            store.call("write_arrays", stream, *one)
        with store.refused("22023", argument=argument, index=0):
            store.call("synchronize_stream", f"{stream}-new", [], *one)
        with store.refused("22023", argument=argument, index=0):
            store.call("import_messages", [stream], [2], *one, [uuid4()], [NOW])
        ((message_id, *_),) = store.call("read_stream", stream)
        with store.refused("22023", argument=argument):
            store.call("redact_message", message_id, data, "why", metadata)


@pytest.mark.parametrize(
    "value",
    [
        f"[{','.join(['1.7976931348623157e308'] * 5_000)}]",
        f"[{','.join(['5e-324'] * 5_000)}]",
        "9" * 4_300,
        FEW,
        '"' + "x" * 3_000_000 + '"',
        '"' + "\\u0001" * 300_000 + '"',
    ],
)
def test_payloads_of_numbers_and_texts_that_programs_have_are_written(
    store: Store, stream: str, value: str
) -> None:
    store.write(stream, "A", value)
    ((expected,),) = store.query("SELECT %s::jsonb::text", [value]).fetchall()
    assert store.stored(stream) == [(1, "A", expected, None)]
    # From a table, where it is compressed.
    store.query("CREATE TEMPORARY TABLE IF NOT EXISTS docs (data jsonb)")
    store.query("TRUNCATE docs")
    store.query("INSERT INTO docs VALUES (%s)", [value])
    store.query("SELECT FROM docs AS d, STORE.write_message(%s, 'A', d.data)", [stream])


def test_no_text_is_made_of_small_payloads_nor_of_metadata_that_is_missing(
    store: Store, stream: str
) -> None:
    calls = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = '_long_as_text'"
    with store.conn.transaction():
        store.conn.execute("SET LOCAL track_functions = 'all'")
        store.call("write_arrays", stream, ["A"] * 100, ["1"] * 100)
        store.call("write_message", stream, "A", "1")
        assert store.query(calls).fetchall() == []
        store.call("write_arrays", stream, ["A"], [f'"{"x" * 20_000}"'])
        assert store.query(calls).fetchall() != []
