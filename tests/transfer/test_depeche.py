"""Import from a store that depeche_db has written."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from pgstore import transfer
from pgstore.transfer import DepecheSource, MessageRefusedError, TransferError
from tests.transfer.conftest import Place
from tests.transfer.peers import depeche_python

Connection = psycopg.Connection[TupleRow]

WRITE = r"""
import datetime, json, sys, uuid
import psycopg, pydantic, sqlalchemy
from depeche_db import MessageStore
from depeche_db.tools import PydanticMessageSerializer

class Message(pydantic.BaseModel):
    id: uuid.UUID
    def get_message_id(self):
        return self.id
    def get_message_time(self):
        return datetime.datetime.now(datetime.timezone.utc)

class Deposited(Message):
    amount: float
    note: str

class Opened(Message):
    owner: str | None

conninfo, name = sys.argv[1:]
create = lambda: psycopg.connect(conninfo)
engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=create)
serializer = PydanticMessageSerializer(Deposited | Opened)
store = MessageStore(name, engine, serializer)
for n in range(30):
    stream = f"account-{n % 4}" if n % 3 else "konto"
    if n % 2:
        message = Deposited(id=uuid.uuid4(), amount=n + 0.5, note="\u00e4 \U0001f600 \"\n")
    else:
        message = Opened(id=uuid.uuid4(), owner=None)
    store.write(stream, message)
reader = [
    [m.stream, m.version, m.global_position, str(m.message_id), serializer.serialize(m.message)]
    for name in ("konto", *(f"account-{n}" for n in range(4)))
    for m in store.read(name)
]
print(json.dumps(sorted(reader, key=lambda m: m[2])))
"""


@pytest.fixture(scope="module")
def depeche(server_conninfo: str) -> Iterator[tuple[str, list[Any]]]:
    """A database with a store in it, and what depeche_db reads from that."""
    python = depeche_python()
    database = f"depeche_{uuid4().hex}"
    name = sql.Identifier(database)
    with ExitStack() as stack:
        server = stack.enter_context(psycopg.connect(server_conninfo, autocommit=True))
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        stack.callback(server.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        conninfo = make_conninfo(server_conninfo, dbname=database)
        written = subprocess.run(
            [python, "-c", WRITE, conninfo, "bank"], capture_output=True, text=True, check=False
        )
        assert written.returncode == 0, written.stderr
        yield conninfo, json.loads(written.stdout)


def test_everything_is_imported(depeche: tuple[str, list[Any]], new: Place) -> None:
    conninfo, messages = depeche
    source = DepecheSource(conninfo, "bank")
    done = transfer.import_from(new.conn, source, store=new.name, batch_messages=7)
    assert (done.imported, done.positions_kept) == (30, True)
    assert source.total == 30
    found = new.query(
        "SELECT a.stream, a.version, a.global_position, a.message_id::text, a.type, a.data"
        " FROM STORE.all_messages AS a ORDER BY a.global_position"
    )
    assert [list(row[:4]) for row in found] == [row[:4] for row in messages]
    assert [row[5] | {"__typename__": row[4]} for row in found] == [row[4] for row in messages]
    assert {row[4] for row in found} == {"Deposited", "Opened"}
    assert new.wrong() == {}
    again = transfer.import_from(new.conn, source, store=new.name)
    assert (again.imported, again.skipped) == (0, 30)


def test_times_are_of_the_zone_that_is_given(depeche: tuple[str, list[Any]], new: Place) -> None:
    conninfo, _ = depeche
    source = DepecheSource(conninfo, "bank", time_zone="America/Lima")
    transfer.import_from(new.conn, source, store=new.name)
    with psycopg.connect(conninfo) as conn:
        query = (
            "SELECT added_at AT TIME ZONE 'America/Lima' FROM depeche_msgs_bank"
            " ORDER BY global_position"
        )
        assert [row[4] for row in new.content()] == [row[0] for row in conn.execute(query)]


def test_message_without_a_type_is_refused(depeche: tuple[str, list[Any]], new: Place) -> None:
    conninfo, _ = depeche
    with pytest.raises(MessageRefusedError) as caught:
        transfer.import_from(
            new.conn, DepecheSource(conninfo, "bank", type_key="missing"), store=new.name
        )
    assert (caught.value.place, caught.value.sqlstate) == (1, "22023")
    assert new.content() == []


@pytest.mark.parametrize("message", ["[1]", '"text"', "null"])
def test_message_that_is_no_object_is_refused(
    depeche: tuple[str, list[Any]], new: Place, message: str
) -> None:
    conninfo, _ = depeche
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS depeche_msgs_odd")
        conn.execute("CREATE TABLE depeche_msgs_odd (LIKE depeche_msgs_bank)")
        conn.execute(
            "INSERT INTO depeche_msgs_odd SELECT m.message_id, m.global_position, m.added_at,"
            " m.stream, m.version, %s FROM depeche_msgs_bank AS m WHERE m.global_position = 1",
            [message],
        )
    with pytest.raises(MessageRefusedError) as caught:
        transfer.import_from(new.conn, DepecheSource(conninfo, "odd"), store=new.name)
    assert caught.value.place == 1


@pytest.mark.parametrize("time", ["20000-01-01", "0044-03-15 BC", "infinity"])
def test_time_that_no_client_can_read_is_refused(
    depeche: tuple[str, list[Any]], new: Place, time: str
) -> None:
    conninfo, _ = depeche
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS depeche_msgs_odd")
        conn.execute("CREATE TABLE depeche_msgs_odd AS TABLE depeche_msgs_bank")
        conn.execute(
            "UPDATE depeche_msgs_odd AS m SET added_at = %s::timestamp WHERE global_position = 2",
            [time],
        )
    with pytest.raises(MessageRefusedError) as caught:
        transfer.import_from(new.conn, DepecheSource(conninfo, "odd"), store=new.name)
    assert (caught.value.place, caught.value.sqlstate) == (2, "22023")
    with pytest.raises(MessageRefusedError) as caught:
        transfer.import_from(
            new.conn, DepecheSource(conninfo, "bank", max_bytes=10), store=new.name
        )
    assert caught.value.place == 1


@pytest.mark.parametrize(("name", "time_zone"), [("other", "UTC"), ("bank", "Mars/Base")])
def test_what_is_not_there_is_an_error(
    depeche: tuple[str, list[Any]], new: Place, name: str, time_zone: str
) -> None:
    conninfo, _ = depeche
    with pytest.raises(TransferError):
        transfer.import_from(
            new.conn, DepecheSource(conninfo, name, time_zone=time_zone), store=new.name
        )
