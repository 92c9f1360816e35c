"""A store that was dumped and restored into another database goes on where it was."""

import psycopg
import pytest
from psycopg import sql

import pgstore
from pgstore import transfer
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import (
    LATEST,
    Rows,
    by_python,
    catalog,
    copy,
    write,
)

NAMES = ["bank", 'My "odd" % schéma']

STATE = """
SELECT {store}._stream_lock_class(), {store}._mark_lock_class(), {store}._bell_lock_class(),
  {store}._gate_lock_class(), {store}._tag_lock_class(), {store}._mark_setting(),
  {store}.wake_channel()
"""


def rows(conninfo: str, name: str, text: str) -> Rows:
    with psycopg.connect(conninfo) as conn:
        query = sql.SQL(text).format(store=sql.Identifier(name))
        return conn.execute(query).fetchall()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("whole", [True, False], ids=["database", "schema"])
def test_restored_store_goes_on(make_database: MakeDatabase, name: str, whole: bool) -> None:
    source, target = make_database(), make_database()
    by_python(source, name)
    with psycopg.connect(source, autocommit=True) as conn:
        for n in range(5):
            write(conn, name, f"a-{n % 2}")
        tag = sql.SQL("SELECT {}.write_message('t-1', 'T', '1', tags => '{{b,a}}')")
        conn.execute(tag.format(sql.Identifier(name)))
        with conn.transaction(force_rollback=True):
            write(conn, name)
    copy(source, target, *([] if whole else ["--schema", '"' + name.replace('"', '""') + '"']))

    messages = "SELECT * FROM {store}.all_messages AS a ORDER BY a.global_position"
    assert rows(target, name, messages) == rows(source, name, messages)
    tagged = 'SELECT * FROM {store}.read_tagged(\'[{{"tags": ["a"]}}]\')'
    assert rows(target, name, tagged) == rows(source, name, tagged)
    assert rows(target, name, STATE) == rows(source, name, STATE)
    before, after = catalog(source, name), catalog(target, name)
    assert [kind for kind in before if before[kind] != after[kind]] == []
    with psycopg.connect(target, autocommit=True) as conn:
        assert [check for check in transfer.verify(conn, store=name) if check.wrong] == []
        assert write(conn, name, "a-1") == (3, 8)
        assert write(conn, name, "b") == (1, 9)
    assert pgstore.install(target, store=name) == LATEST.number


def test_restored_empty_store_begins_at_1(make_database: MakeDatabase) -> None:
    source, target = make_database(), make_database()
    by_python(source, "bank")
    copy(source, target)
    with psycopg.connect(target) as conn:
        assert write(conn, "bank") == (1, 1)
