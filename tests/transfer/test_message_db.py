"""Import from a real Message DB."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from pgstore import embedded, transfer
from pgstore.transfer import MessageDbSource, MessageRefusedError, TransferError
from tests.transfer.conftest import ODD_DATA, Place
from tests.transfer.peers import message_db_scripts

Connection = psycopg.Connection[TupleRow]

# As install.sh runs them, without its roles and rights.
SCRIPTS = ["schema/message-store", "extensions/pgcrypto", "tables/messages", "types/message"]
FUNCTIONS = [
    "message-store-version", "hash-64", "acquire-lock", "category", "is-category", "id",
    "cardinal-id", "stream-version", "write-message",
]  # fmt: skip
INDEXES = ["messages-id", "messages-stream", "messages-category"]


@pytest.fixture(scope="module")
def message_db(server_conninfo: str) -> Iterator[str]:
    """A database with Message DB in it; its connection string."""
    scripts = message_db_scripts()
    database = f"message_db_{uuid4().hex}"
    name = sql.Identifier(database)
    files = [
        *SCRIPTS, *(f"functions/{each}" for each in FUNCTIONS), *(f"indexes/{e}" for e in INDEXES)
    ]  # fmt: skip
    with ExitStack() as stack:
        server = stack.enter_context(psycopg.connect(server_conninfo, autocommit=True))
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        stack.callback(server.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        conninfo = make_conninfo(server_conninfo, dbname=database)
        arguments = [word for each in files for word in ("-f", str(scripts / f"{each}.sql"))]
        subprocess.run(
            [embedded.Server().psql, "-X", "-q", "-d", conninfo, *arguments],
            env={"PGOPTIONS": "-c search_path=message_store,public -c client_min_messages=warning"},
            check=True, capture_output=True,
        )  # fmt: skip
        yield conninfo


@pytest.fixture
def peer(message_db: str) -> Iterator[Connection]:
    options = "-c search_path=message_store,public -c timezone=America/Lima"
    with psycopg.connect(message_db, autocommit=True, options=options) as conn:
        conn.execute("TRUNCATE message_store.messages RESTART IDENTITY")
        yield conn


def write(
    conn: Connection, stream: str, data: str | None = "{}", metadata: str | None = None
) -> None:
    conn.execute(
        "SELECT write_message(%s, %s, 'Opened', %s, %s)",
        [str(uuid4()), stream, data, metadata],
    )


def expected(conn: Connection) -> list[Any]:
    """What a store has to hold, from what Message DB holds."""
    return conn.execute(
        "SELECT stream_name, position + 1, global_position, id, time AT TIME ZONE 'UTC', type,"
        " coalesce(data::text, 'null'), metadata::text, NULL"
        " FROM message_store.messages ORDER BY global_position"
    ).fetchall()


def fill(conn: Connection) -> None:
    for number in range(3):
        for n, data in enumerate(ODD_DATA):
            metadata = '{"correlationStreamName": "x-1"}' if n % 2 else None
            write(conn, f"account-{n}", data, metadata)
            write(conn, f"account:command+{n}", data)
            write(conn, "category", None)
        conn.execute("SELECT nextval('message_store.messages_global_position_seq')")
        write(conn, f"account-{number}")


def test_everything_is_imported(peer: Connection, message_db: str, new: Place) -> None:
    fill(peer)
    source = MessageDbSource(message_db)
    done = transfer.import_from(new.conn, source, store=new.name, batch_messages=10)
    assert done.imported == source.total == 3 * (3 * len(ODD_DATA) + 1)
    assert done.positions_kept
    assert new.content() == expected(peer)
    assert new.wrong() == {}
    assert new.value("SELECT STORE.stream_version('account-1')") == 4
    categories = "SELECT DISTINCT s.category FROM STORE.streams AS s ORDER BY 1"
    assert new.query(categories) == [("account",), ("account:command+0",)] + [
        (f"account:command+{n}",) for n in range(1, len(ODD_DATA))
    ] + [("category",)]
    # Later, what has come since.
    write(peer, "account-1", '{"later": true}')
    again = transfer.import_from(new.conn, source, store=new.name)
    assert (again.imported, again.skipped) == (1, done.imported)
    assert new.content() == expected(peer)


def test_streams_that_were_cut_off_begin_later(
    peer: Connection, message_db: str, new: Place
) -> None:
    for _ in range(3):
        write(peer, "account-1")
    peer.execute("DELETE FROM message_store.messages WHERE position < 2")
    transfer.import_from(new.conn, MessageDbSource(message_db), store=new.name)
    assert new.content() == expected(peer)
    assert new.wrong() == {}
    assert new.value("SELECT s.floor FROM STORE.streams AS s") == 2


def test_batches_of_large_messages_are_small(peer: Connection, message_db: str) -> None:
    peer.execute(
        "INSERT INTO message_store.messages (stream_name, type, position, data)"
        " SELECT 'large', 'A', n, to_jsonb(repeat('x', 1000000)) FROM generate_series(0, 29) AS n"
    )
    with MessageDbSource(message_db).read(2000) as found:
        sizes = [len(batch.places) for batch in found]
    assert sizes == [8, 8, 8, 6]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM message_store.messages WHERE position = 1",
        "UPDATE message_store.messages SET metadata = '[]' WHERE position = 2",
        "UPDATE message_store.messages SET type = repeat('x', 256) WHERE position = 2",
        "UPDATE message_store.messages SET time = '20000-01-01' WHERE position = 2",
        "UPDATE message_store.messages SET time = '0044-03-15 BC' WHERE position = 2",
        "UPDATE message_store.messages SET time = '-infinity' WHERE position = 2",
    ],
)
def test_what_would_break_a_stream_is_refused(
    peer: Connection, message_db: str, new: Place, change: str
) -> None:
    for _ in range(3):
        write(peer, "account-1")
    peer.execute(change.encode())
    with pytest.raises(MessageRefusedError) as caught:
        transfer.import_from(new.conn, MessageDbSource(message_db), store=new.name)
    assert str(caught.value).startswith("global position 3: ")
    assert new.content() == []


def test_message_that_is_too_large_is_refused_and_does_not_leave_its_server(
    peer: Connection, message_db: str, new: Place
) -> None:
    write(peer, "account-1")
    write(peer, "account-1", json.dumps("x" * 1000))
    with pytest.raises(MessageRefusedError) as caught:
        transfer.import_from(new.conn, MessageDbSource(message_db, max_bytes=1000), store=new.name)
    assert str(caught.value) == "global position 2: longer than 1000 bytes"
    source = MessageDbSource(message_db, max_bytes=1100)
    assert transfer.import_from(new.conn, source, store=new.name).imported == 2


def test_import_that_is_refused_half_way_lets_go_of_the_other_store(
    peer: Connection, message_db: str, new: Place
) -> None:
    for _ in range(2000):
        write(peer, "account-1")
    new.write("account-1")
    with pytest.raises(MessageRefusedError):
        transfer.import_from(
            new.conn, MessageDbSource(message_db), store=new.name, batch_messages=10
        )
    query = (
        "SELECT FROM pg_stat_activity AS a WHERE a.application_name = 'pgstore'"
        " AND a.datname = current_database()"
    )
    until = time.monotonic() + 30  # a session ends a little after its connection
    while peer.execute(query).rowcount:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_database_without_message_db_is_an_error(conninfo: str, new: Place) -> None:
    with pytest.raises(TransferError):
        transfer.import_from(new.conn, MessageDbSource(conninfo, schema="nowhere"), store=new.name)
