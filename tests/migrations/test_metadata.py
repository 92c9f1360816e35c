"""The upgrade that brings the index of correlation ids keeps no writer waiting for long."""

import json

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Connect
from tests.migrations.installers import Install, Rows, by_python, catalog, write
from tests.released import install_released, upgrade_to_released

BEFORE = 3  # a released version without the index
INDEX = "messages_correlation_id_global_position_idx"


def query(conn: psycopg.Connection, name: str, text: str) -> Rows:
    return conn.execute(sql.SQL(text).format(store=sql.Identifier(name))).fetchall()


def is_indexed(conn: psycopg.Connection, name: str) -> bool:
    return query(conn, name, f"SELECT to_regclass('{{store}}.{INDEX}')::oid") != [(None,)]


def build_as_the_hint_says(conn: psycopg.Connection, name: str) -> None:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        query(conn, name, "SELECT {store}.read_correlated('r')")
    assert json.loads(caught.value.diag.message_detail or "") == {"index": INDEX}
    hint = caught.value.diag.message_hint or ""
    for statement in hint.partition(": ")[2].removesuffix(";").split("; "):
        conn.execute(statement.encode())


def test_a_large_table_is_not_indexed_by_the_upgrade(
    conninfo: str, schema: str, connect: Connect, install: Install
) -> None:
    install_released(conninfo, schema, BEFORE)
    conn = connect()
    query(
        conn,
        schema,
        "SELECT {store}.write_arrays('a-1', array_agg('T'::text), array_agg(d.data),"
        ' array_fill(\'{{"correlation_id": "r"}}\'::jsonb, ARRAY[40000]))'
        " FROM generate_series(1, 40000) AS n CROSS JOIN LATERAL (SELECT to_jsonb(string_agg("
        "md5(n::text || k::text), '')) AS data FROM generate_series(1, 56) AS k) AS d",
    )
    install(conninfo, schema)
    assert not is_indexed(conn, schema)
    write(conn, schema, "a-1")
    build_as_the_hint_says(conn, schema)
    assert len(query(conn, schema, "SELECT {store}.read_correlated('r', 0, 50000)")) == 40_000
    indexes = catalog(conninfo, schema)["indexes"]
    conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
    by_python(conninfo, schema)
    assert catalog(conninfo, schema)["indexes"] == indexes


def test_a_writer_that_stays_open_did_not_stop_the_upgrade(
    conninfo: str, schema: str, connect: Connect
) -> None:
    """Later migrations change the table of messages: their upgrade gives up then."""
    install_released(conninfo, schema, BEFORE)
    writer, conn = connect(autocommit=False), connect()
    # The first thousand writes look into other tables too.
    query(conn, schema, "SELECT {store}.skip_positions(2000)")
    write(writer, schema, "a-1")
    upgrade_to_released(conninfo, schema, 5)
    assert not is_indexed(conn, schema)
    write(writer, schema, "a-1")
    writer.commit()
    build_as_the_hint_says(conn, schema)
    assert is_indexed(conn, schema)


def test_a_small_table_is_indexed_by_the_upgrade(
    conninfo: str, schema: str, connect: Connect, install: Install
) -> None:
    install_released(conninfo, schema, BEFORE)
    conn = connect()
    query(
        conn,
        schema,
        "SELECT {store}.write_message('a-1', 'T', '1', '{{\"correlation_id\": \"r\"}}')",
    )
    install(conninfo, schema)
    assert is_indexed(conn, schema)
    assert len(query(conn, schema, "SELECT {store}.read_correlated('r')")) == 1
