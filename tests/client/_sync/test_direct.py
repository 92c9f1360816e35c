# Generated from tests/client/_async/test_direct.py by `python tools/unasync.py`.

"""Statements that run without a cursor give what a cursor gives, and notice what it notices."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgstore import InvalidArgumentError, MessageStore, OptimisticConcurrencyError
from pgstore._sync import direct
from pgstore._sync.cursor import run
from pgstore._sync.direct import DirectConnection
from tests.client._sync.conftest import OpenStore
from tests.client.messages import EventA, EventB
from tests.client.parallel import Parallel
from tests.conftest import Connect

Store = MessageStore[Any]

# After so many runs a statement is prepared.
THRESHOLD = 5


@contextmanager
def connection(store: Store) -> Iterator[DirectConnection]:
    """The store's connection: with one caller at a time it has only one."""
    pool = store._database.ready()
    with pool.connection() as conn:
        assert isinstance(conn, DirectConnection)
        yield conn


def prepare(store: Store, stream: str) -> int:
    """Have writes to a stream prepared; its version."""
    for number in range(THRESHOLD + 1):
        store.write(stream, EventA(number))
    return THRESHOLD + 1


@pytest.fixture
def cursors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that ran on a cursor."""
    seen: list[str] = []

    def noted(conn: Any, statement: str, *args: Any, **options: Any) -> Any:
        seen.append(statement)
        return run(conn, statement, *args, **options)

    monkeypatch.setattr(direct, "run", noted)
    return seen


def prepared(store: Store) -> int:
    """How many statements of the store its connection has prepared."""
    with connection(store) as conn:
        cursor = conn.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE starts_with(name, 'pgstore_')"
        )
        ((count,),) = cursor.fetchall()
        return int(count)


def test_a_statement_runs_without_a_cursor_from_its_sixth_run_on(
    store: Store, stream: str, cursors: list[str]
) -> None:
    for number in range(12):
        assert store.write(stream, EventA(number)).version == number + 1
        assert len(list(store.read(stream))) == number + 1
        batch = [EventA(number), EventB("é\n")]
        store.write_many(f"{stream}-batch", batch, metadata=[None, {"é": 1}])
    assert len(cursors) == 3 * THRESHOLD
    assert prepared(store) == 3
    read = list(store.read(f"{stream}-batch"))
    assert [each.message for each in read] == [
        each for number in range(12) for each in (EventA(number), EventB("é\n"))
    ]
    assert [each.metadata for each in read] == [None, {"é": 1}] * 12


@pytest.mark.parametrize(("threshold", "expected"), [(0, 1), (None, 0)])
def test_prepare_threshold_says_when_a_statement_is_prepared(
    open_store: OpenStore, stream: str, threshold: int | None, expected: int
) -> None:
    store = open_store(prepare_threshold=threshold)
    for _ in range(1 if threshold == 0 else 12):
        store.write(stream, EventA(1))
    assert prepared(store) == expected


def test_a_pool_of_the_users_runs_on_cursors(
    open_store: OpenStore, conninfo: str, stream: str, cursors: list[str]
) -> None:
    class Own(psycopg.Cursor[Any]):
        def execute(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("the caller's cursor")

    options = {"cursor_factory": Own, "row_factory": psycopg.rows.dict_row}
    with direct_free_pool(conninfo, options) as pool:
        store = open_store(conninfo=pool)
        assert prepare(store, stream) == store.stream_version(stream)
    assert cursors == []


@contextmanager
def direct_free_pool(conninfo: str, options: dict[str, Any]) -> Iterator[Any]:
    from psycopg_pool import ConnectionPool

    with ConnectionPool(conninfo, min_size=1, kwargs=options, open=False) as pool:
        yield pool


def test_a_transaction_and_a_pipeline_run_on_cursors(
    store: Store, stream: str, cursors: list[str]
) -> None:
    version = prepare(store, stream)
    statement = next(iter(cursors))
    cursors.clear()
    parameters = (stream, "EventA", '{"num": 1}', None, None, None)
    with connection(store) as conn:
        for block in (conn.transaction, conn.pipeline):
            with block():
                conn.rows(statement, parameters)
        conn.set_autocommit(False)
        conn.rows(statement, parameters)
        conn.rollback()
        conn.set_autocommit(True)
    assert len(cursors) == 3
    assert store.stream_version(stream) == version + 2


def test_notifications_that_arrive_meanwhile_are_kept(
    store: Store, connect: Connect, stream: str
) -> None:
    prepare(store, stream)
    with connection(store) as conn:
        conn.execute("LISTEN kept")
    notifying = connect()
    notifying.execute("NOTIFY kept, 'one'")
    store.write(stream, EventA(1))
    notifying.execute("NOTIFY kept, 'two'")
    store.write(stream, EventA(2))
    with connection(store) as conn:
        found = [each.payload for each in conn.notifies(timeout=0)]
        assert found == ["one", "two"]
        handled: list[str] = []
        conn.add_notify_handler(lambda each: handled.append(each.payload))
    notifying.execute("NOTIFY kept, 'three'")
    store.write(stream, EventA(3))
    assert handled == ["three"]


def test_notices_reach_the_connections_handlers(
    open_store: OpenStore, connect: Connect, schema: str, stream: str
) -> None:
    store = open_store(store=schema)
    prepare(store, stream)
    connect().execute(
        sql.SQL(
            "CREATE FUNCTION {0}.say() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE NOTICE 'written'; RETURN NULL; END$$;"
            "CREATE TRIGGER say AFTER INSERT ON {0}.messages EXECUTE FUNCTION {0}.say()"
        ).format(sql.Identifier(schema))
    )
    said: list[str | None] = []
    with connection(store) as conn:
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary))
    store.write(stream, EventA(1))
    assert said == ["written"]


def test_a_commit_that_fails_after_the_answer_is_an_error(
    open_store: OpenStore, connect: Connect, schema: str, stream: str
) -> None:
    store = open_store(store=schema)
    version = prepare(store, stream)
    connect().execute(
        sql.SQL(
            "CREATE FUNCTION {0}.fail() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'at commit'; END$$;"
            "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON {0}.messages"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {0}.fail()"
        ).format(sql.Identifier(schema))
    )
    with pytest.raises(psycopg.errors.RaiseException):
        store.write(stream, EventA(1))
    assert store.stream_version(stream) == version


@pytest.mark.parametrize("statement", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE PREPARE ALL"])
def test_a_statement_that_the_server_forgot_is_prepared_again(
    store: Store, stream: str, cursors: list[str], statement: str
) -> None:
    version = prepare(store, stream)
    with connection(store) as conn:
        conn.execute(statement)
    cursors.clear()
    for number in range(3):
        assert store.write(stream, EventA(number)).version == version + number + 1
    assert len(cursors) == 1
    assert prepared(store) == 1


def test_a_statement_that_another_client_prepared_is_used(
    store: Store, stream: str, cursors: list[str]
) -> None:
    """As behind a pooler that gives a session to each transaction; or its task was cancelled."""
    version = prepare(store, stream)
    with connection(store) as conn:
        conn._store_prepared.clear()
    cursors.clear()
    for number in range(3):
        assert store.write(stream, EventA(number)).version == version + number + 1
    assert cursors == []


def test_a_statement_whose_result_has_another_type_runs_again(
    open_store: OpenStore,
    connect: Connect,
    schema: str,
    stream: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store(store=schema)
    version = prepare(store, stream)
    for _ in range(THRESHOLD + 1):
        assert store.stream_version(stream) == version
    connect().execute(
        sql.SQL(
            "DROP FUNCTION {0}.stream_version(text);"
            "CREATE FUNCTION {0}.stream_version(stream text) RETURNS numeric LANGUAGE sql"
            " RETURN 7"
        ).format(sql.Identifier(schema))
    )
    refused: list[object] = []
    made = psycopg.errors.error_from_result

    def note(result: Any, *encoding: str) -> psycopg.Error:
        refused.append(result)
        return made(result, *encoding)

    monkeypatch.setattr(psycopg.errors, "error_from_result", note)
    for _ in range(3):
        assert store.stream_version(stream) == 7
    assert len(refused) == 1  # not each time


def test_errors_are_those_of_a_cursor(
    store: Store, stream: str, cursors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(call: Any) -> tuple[Any, ...]:
        with pytest.raises((psycopg.Error, InvalidArgumentError)) as caught:
            call()
        error: Any = caught.value
        fields = ("severity", "message_primary", "message_detail", "message_hint", "context")
        return (
            *(type(error), str(error).splitlines()[0], getattr(error, "__notes__", [])),
            *(error.sqlstate, *[getattr(error.diag, field, None) for field in fields]),
        )

    calls = [
        lambda: store.write(stream, EventA(1), expected_version=99),
        lambda: store.write("x" * 2000, EventA(1)),
        lambda: store.write("a\0b", EventA(1)),
        lambda: store.write("\udc80", EventA(1)),
        lambda: store.write(stream, EventB("\0")),
    ]
    version = prepare(store, stream)
    cursors.clear()
    found = [refused(call) for call in calls]
    assert len(cursors) == 2  # of texts that no server can get
    with monkeypatch.context() as patch:
        patch.setattr(direct, "can_wait", lambda: False)
        by_cursor = [refused(call) for call in calls]
    assert found == by_cursor
    assert by_cursor[0][0] is OptimisticConcurrencyError
    assert store.stream_version(stream) == version


VALUES = [
    *("2024-02-29 12:30:15.123456+01", "0001-01-01 00:00:00+00", "9999-12-30 23:59:59.999999+00"),
    *("infinity", "-infinity", "0044-03-15 12:00:00+00 BC", None),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_are_those_of_a_cursor(store: Store, value: str | None) -> None:
    statement = (
        "SELECT %s::timestamptz, %s::text, 'ü{}'::text, -1::bigint, 9223372036854775807::bigint,"
        " 'f7d9bd0a-54c4-7b5e-8b1a-0a1d3a1f3e11'::uuid, true, NULL::jsonb, 1.5::float8,"
        " '100%%'::text"
    )

    def result(conn: DirectConnection, *, cursor: bool) -> Any:
        try:
            if cursor:
                return run(conn, statement, (value, value))
            return conn.rows(statement, (value, value))
        except InvalidArgumentError as error:
            return type(error), str(error)

    with connection(store) as conn:
        for zone in ("UTC", "Asia/Kathmandu"):
            conn.execute(f"SET TimeZone = '{zone}'".encode())
            wanted = result(conn, cursor=True)
            found = [result(conn, cursor=False) for _ in range(THRESHOLD + 3)]
            assert list(map(repr, found)) == [repr(wanted)] * len(found)


def test_a_connection_with_another_encoding_uses_a_cursor(store: Store, stream: str) -> None:
    prepare(store, stream)
    with connection(store) as conn:
        conn.execute("SET client_encoding = 'latin1'")
    store.write(stream, EventB("ü"))
    found = store.last(stream)
    assert found is not None
    assert found.message == EventB("ü")


def test_messages_larger_than_the_sockets_buffers(store: Store, stream: str) -> None:
    prepare(store, stream)
    for _ in range(THRESHOLD + 1):
        store.last(stream)
    text = "x" * 20_000_000
    store.write(stream, EventB(text))
    found = store.last(stream)
    assert found is not None
    assert found.message == EventB(text)


def test_a_statement_timeout_leaves_the_connection_usable(
    open_store: OpenStore, conninfo: str, connect: Connect, stream: str
) -> None:
    address = make_conninfo(conninfo, options="-c statement_timeout=300ms")
    store = open_store(conninfo=address)
    version = prepare(store, stream)
    blocking = connect(autocommit=False)
    blocking.execute(
        sql.SQL("SELECT {}.write_message(%s, 'EventA', '{{\"num\": 1}}')").format(
            sql.Identifier(store.name)
        ),
        (stream,),
    )
    with connection(store) as conn:
        before = conn.info.backend_pid
    with pytest.raises(psycopg.errors.QueryCanceled):
        store.write(stream, EventA(1))
    blocking.rollback()
    assert store.write(stream, EventA(2)).version == version + 1
    with connection(store) as conn:
        assert conn.info.backend_pid == before


def test_many_callers_at_once_each_get_their_own_answer(store: Store, stream: str) -> None:
    def one(number: int) -> None:
        own = f"{stream}-{number}"
        for version in range(1, 30):
            assert store.write(own, EventA(number)).version == version
            last = store.last(own)
            assert last is not None
            assert (last.stream, last.message.num, last.version) == (own, number, version)

    with Parallel() as parallel:
        parallel.start(*[lambda number=each: one(number) for each in range(8)])
        assert parallel.results() == [None] * 8
