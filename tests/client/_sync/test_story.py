# Generated from tests/client/_async/test_story.py by `python tools/unasync.py`.

"""The quickstart, literally, and the ways to say which database."""

import re
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import pgstore
from tests.client._sync.conftest import OpenStore
from tests.client.messages import AccountClosed, AccountOpened, Closed, EventA, EventB, Opened
from tests.conftest import Connect

UUID_PATTERN = r"UUID\('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'\)"
STORED = (
    rf"StoredMessage\(message_id={UUID_PATTERN}, stream='stream-1', version=1, "
    r"message=EventA\(num=42\), global_position=1, added_at=datetime\.datetime\(.*\)\)"
)


def test_story_goes_as_told(conninfo: str, schema: str, connect: Connect) -> None:
    with pgstore.MessageStore[EventA | EventB](
        conninfo, store=schema, messages=EventA | EventB
    ) as store:
        result = store.write("stream-1", EventA(num=42))
        assert repr(result) == "MessagePosition(stream='stream-1', version=1, global_position=1)"
        assert re.fullmatch(STORED, str(next(store.read("stream-1"))))

        with pytest.raises(pgstore.OptimisticConcurrencyError) as caught:
            store.write("stream-1", EventA(num=23), expected_version=0)
        error = caught.value
        assert (error.stream, error.expected_version, error.actual_version) == ("stream-1", 0, 1)
        second = store.write("stream-1", EventA(num=23), expected_version=1)
        assert second.version == 2
        assert second.global_position > 1

        version = connect().execute(
            f"SELECT version FROM {schema}.write_message("
            """'stream-1', 'EventB', '{"text": "from psql"}', expected_version => 2)"""
        )
        assert version.fetchone() == (3,)
        told = [message.message for message in store.read("stream-1")]
        assert told == [EventA(42), EventA(23), EventB("from psql")]
        rows = connect().execute(f"SELECT type, data FROM {schema}.read_stream('stream-1')")
        assert rows.fetchall() == [
            ("EventA", {"num": 42}),
            ("EventA", {"num": 23}),
            ("EventB", {"text": "from psql"}),
        ]


@pytest.mark.parametrize(
    ("messages", "first", "second"),
    [
        (AccountOpened | AccountClosed, AccountOpened(owner="Ada"), AccountClosed()),
        (Opened | Closed, Opened("Ada"), Opened("Grace", ["tag"])),
        (EventA | Opened | AccountClosed, Opened("Ada"), AccountClosed()),
    ],
    ids=["pydantic", "dataclass and attrs", "mixed"],
)
def test_story_is_the_same_with_other_classes(
    open_store: OpenStore, stream: str, messages: Any, first: object, second: object
) -> None:
    store = open_store(messages)
    assert store.write(stream, first, expected_version=0).version == 1
    with pytest.raises(pgstore.OptimisticConcurrencyError):
        store.write(stream, second, expected_version=0)
    assert store.write(stream, second, expected_version=1).version == 2
    stored = list(store.read(stream))
    assert [message.message for message in stored] == [first, second]
    for message, given in zip(stored, (first, second), strict=True):
        if isinstance(given, AccountOpened | AccountClosed):
            assert message.message_id == given.event_id
            assert message.message.get_message_time() == given.happened_at


def test_store_takes_the_connection_from_libpqs_environment(
    conninfo: str, shared: str, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    for name, value in conninfo_to_dict(conninfo).items():
        if name in names:
            monkeypatch.setenv(names[name], str(value))
    with pgstore.MessageStore[EventA](store=shared, messages=EventA) as store:
        assert store.write(stream, EventA(1)).version == 1


def test_store_speaks_utf8_whatever_the_environment_says(
    open_store: OpenStore, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    store = open_store()
    store.write(stream, EventB("Łódź 🚀"))
    assert next(store.read(stream)).message == EventB("Łódź 🚀")


def test_store_can_be_told_by_key_and_value(
    conninfo: str, shared: str, stream: str, open_store: OpenStore
) -> None:
    told = " ".join(f"{name}='{value}'" for name, value in conninfo_to_dict(conninfo).items())
    store = open_store(conninfo=told)
    assert store.write(stream, EventA(1)).version == 1
    assert store.name == shared


def test_store_is_named_pgstore_by_default() -> None:
    assert pgstore.MessageStore[EventA](messages=EventA).name == "pgstore"


def test_a_wrong_address_is_an_error_at_once() -> None:
    store = pgstore.MessageStore[EventA]("host=127.0.0.1 port=1", messages=EventA)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match="port 1 failed"):
            store.write("s-1", EventA(1))
    store.close()


def test_a_malformed_address_is_an_error_at_once() -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match="connection string"):
        pgstore.MessageStore[EventA]("hots=127.0.0.1", messages=EventA)
