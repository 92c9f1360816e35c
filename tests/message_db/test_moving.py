"""A program of Message DB moves over with its messages, and continues where it was."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

from pgstore.__main__ import main
from tests.message_db.conftest import as_client, database, install_message_db

Connection = psycopg.Connection[TupleRow]
WRITE = "SELECT write_message(%s, %s, 'Deposited', %s, %s, %s)"
READ = "SELECT * FROM get_category_messages(%s, %s, 1000)"


@pytest.fixture
def old(server_conninfo: str) -> Iterator[str]:
    with database(server_conninfo) as made:
        install_message_db(made)
        yield made


@pytest.fixture
def new(server_conninfo: str) -> Iterator[str]:
    with database(server_conninfo) as made:
        yield made


def write(client: Connection, stream: str, expected: int | None) -> object:
    metadata = '{"correlationStreamName": "transfer-1"}'
    given = [str(uuid4()), stream, '{"amount": 10}', metadata, expected]
    row = client.execute(WRITE, given).fetchone()
    assert row is not None
    return row[0]


def test_program_continues_on_the_interface_where_it_was(old: str, new: str) -> None:
    with as_client(old) as client:
        for number in range(6):
            write(client, f"account-{number % 2}", number // 2 - 1)
        before = client.execute(READ, ["account", 1]).fetchall()
    chosen = ["--conninfo", new, "--store", "bank"]
    assert main(["install", "--message-db", *chosen]) == 0
    assert main(["import", "--from", "message-db", old, *chosen]) == 0
    with as_client(new) as client:
        assert client.execute(READ, ["account", 1]).fetchall() == before
        # The expected version, and the position of a consumer, that it had there.
        assert write(client, "account-0", 2) == 3
        with pytest.raises(psycopg.errors.RaiseException):
            write(client, "account-0", 2)
        (message,) = client.execute(READ, ["account", before[-1][4] + 1]).fetchall()
    assert message[1:4] == ("account-0", "Deposited", 3)
