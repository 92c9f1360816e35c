"""What is nested too deep for its readers is refused by every function that writes."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.sql.store import Store

LONG = "x" * 3_000
NOW = datetime(2024, 2, 29, tzinfo=UTC)


def arrays(levels: int) -> str:
    return "[" * levels + "]" * levels


def objects(levels: int) -> str:
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def beside(levels: int) -> str:
    """Deep in the middle of much that is not."""
    return f'{{"a": [1, {{"b": "c"}}], "m": {arrays(levels - 1)}, "z": "{LONG}"}}'


def inside(value: str) -> str:
    return f'{{"a": {value}}}'


SHAPES = pytest.mark.parametrize("nested", [arrays, objects, beside])


SHAPES = pytest.mark.parametrize("nested", [arrays, objects, beside])


@SHAPES
def test_messages_are_nested_up_to_100_deep(
    store: Store, stream: str, nested: Callable[[int], str]
) -> None:
    store.write(stream, "A", nested(100), inside(nested(99)))
    ((data, metadata),) = store.query(
        "SELECT %s::jsonb::text, %s::jsonb::text", [nested(100), inside(nested(99))]
    ).fetchall()
    assert store.stored(stream) == [(1, "A", data, metadata)]
    too_deep = inside(nested(100))
    for data, metadata, argument in (
        (nested(101), None, "data"),
        ("1", too_deep, "metadata"),
        (nested(101), too_deep, "data"),
    ):
        message = f'[{{"type": "A", "data": {data}, "metadata": {metadata or "null"}}}]'
        one = (["A"], [data], [metadata])
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


def test_redact_message_takes_no_more_than_a_write(store: Store, stream: str) -> None:
    store.write(stream, "A", "1")
    ((message_id, *_),) = store.call("read_stream", stream)
    with store.refused("22023", argument="data"):
        store.call("redact_message", message_id, arrays(101), "why")
    with store.refused("22023", argument="metadata"):
        store.call("redact_message", message_id, "1", "why", inside(arrays(100)))
    store.call("redact_message", message_id, arrays(100), "why", inside(arrays(99)))


def test_a_compressed_value_of_a_table_is_looked_through(store: Store, stream: str) -> None:
    deep = f'["{LONG}", {arrays(100)}]'
    # The first message of a stream goes through an array, whose values are not compressed.
    store.write(stream)
    store.query("CREATE TEMPORARY TABLE docs (data jsonb)")
    store.query("INSERT INTO docs VALUES (%s)", [deep])
    ((size,),) = store.query("SELECT pg_column_size(data) FROM docs").fetchall()
    assert size < 800
    with store.refused("22023", argument="data"):
        store.query("SELECT STORE.write_message(%s, 'A', d.data) FROM docs AS d", [stream])
