"""A closed store compares neither versions nor ids nor positions: its own are of before."""

from contextlib import suppress
from uuid import UUID

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Store

_ID = f"'{UUID(int=7)}'::uuid"
_BATCH = """'a-1', '[{"type": "T", "data": 1}]'"""
_ARRAYS = "'a-1', '{T}', '{1}'"
_TAGS = """'[{"tags": ["t"]}]'"""


@pytest.mark.parametrize(
    "call",
    [
        "write_message('a-1', 'T', '1', expected_version => 7)",
        "write_message('new-1', 'T', '1', expected_version => 7)",
        f"write_messages({_BATCH}, expected_version => 7)",
        f"write_messages({_BATCH.replace('a-1', 'new-1')}, expected_version => 7)",
        f"write_arrays({_ARRAYS}, expected_version => 7)",
        f"write_group('{{a-1}}', '{{T}}', '{{1}}', NULL, '{{7}}', ARRAY[{_ID}])",
        f"write_if({_BATCH}, {_TAGS}, '0+', expected_version => 7)",
        f"write_if({_BATCH}, {_TAGS}, '900+')",
        f"write_if({_BATCH}, {_TAGS}, '0+900')",
        f"synchronize_stream('a-1', ARRAY[{_ID}], '{{T}}', '{{1}}')",
        f"synchronize_stream('a-1', ARRAY[{_ID}], NULL, NULL)",
        "read_page(900)",
        "read_all(900)",
        f"read_tagged({_TAGS}, 900)",
        "create_subscription('s', start_position => 900)",
    ],
)
def test_closed_store_says_its_place_before_it_compares(
    store: Store, connect: Connect, call: str
) -> None:
    """The session has planned the call before."""
    store.write("a-1", tags=["t"])
    session = connect()
    statement = f"SELECT * FROM STORE.{call}"
    for _ in range(6):
        with suppress(psycopg.Error), session.transaction(force_rollback=True):
            store.query(statement, on=session)
    store.call("fence_store", "host=elsewhere dbname=d")
    try:
        for on in (session, store.conn):
            with pytest.raises(psycopg.Error) as caught:
                store.query(statement, on=on)
            assert caught.value.sqlstate == "MS030"
    finally:
        store.call("lift_fence")
