"""Statements that run without a cursor give what a cursor gives, and notice what it notices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgstore import AsyncMessageStore, InvalidArgumentError, OptimisticConcurrencyError
from pgstore._async import direct
from pgstore._async.cursor import run
from pgstore._async.direct import AsyncDirectConnection
from tests.client._async.conftest import OpenStore
from tests.client.messages import EventA, EventB
from tests.client.parallel import AsyncParallel
from tests.conftest import Connect

Store = AsyncMessageStore[Any]

# After so many runs a statement is prepared.
THRESHOLD = 5


@asynccontextmanager
async def connection(store: Store) -> AsyncIterator[AsyncDirectConnection]:
    """The store's connection: with one caller at a time it has only one."""
    pool = await store._database.ready()
    async with pool.connection() as conn:
        assert isinstance(conn, AsyncDirectConnection)
        yield conn


async def prepare(store: Store, stream: str) -> int:
    """Have writes to a stream prepared; its version."""
    for number in range(THRESHOLD + 1):
        await store.write(stream, EventA(number))
    return THRESHOLD + 1


@pytest.fixture
def cursors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that ran on a cursor."""
    seen: list[str] = []

    async def noted(conn: Any, statement: str, *args: Any, **options: Any) -> Any:
        seen.append(statement)
        return await run(conn, statement, *args, **options)

    monkeypatch.setattr(direct, "run", noted)
    return seen


async def prepared(store: Store) -> int:
    """How many statements of the store its connection has prepared."""
    async with connection(store) as conn:
        cursor = await conn.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE starts_with(name, 'pgstore_')"
        )
        ((count,),) = await cursor.fetchall()
        return int(count)


async def test_a_statement_runs_without_a_cursor_from_its_sixth_run_on(
    store: Store, stream: str, cursors: list[str]
) -> None:
    for number in range(12):
        assert (await store.write(stream, EventA(number))).version == number + 1
        assert len([each async for each in store.read(stream)]) == number + 1
        batch = [EventA(number), EventB("é\n")]
        await store.write_many(f"{stream}-batch", batch, metadata=[None, {"é": 1}])
    assert len(cursors) == 3 * THRESHOLD
    assert await prepared(store) == 3
    read = [each async for each in store.read(f"{stream}-batch")]
    assert [each.message for each in read] == [
        each for number in range(12) for each in (EventA(number), EventB("é\n"))
    ]
    assert [each.metadata for each in read] == [None, {"é": 1}] * 12


@pytest.mark.parametrize(("threshold", "expected"), [(0, 1), (None, 0)])
async def test_prepare_threshold_says_when_a_statement_is_prepared(
    open_store: OpenStore, stream: str, threshold: int | None, expected: int
) -> None:
    store = await open_store(prepare_threshold=threshold)
    for _ in range(1 if threshold == 0 else 12):
        await store.write(stream, EventA(1))
    assert await prepared(store) == expected


async def test_a_pool_of_the_users_runs_on_cursors(
    open_store: OpenStore, conninfo: str, stream: str, cursors: list[str]
) -> None:
    class Own(psycopg.AsyncCursor[Any]):
        async def execute(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("the caller's cursor")

    options = {"cursor_factory": Own, "row_factory": psycopg.rows.dict_row}
    async with direct_free_pool(conninfo, options) as pool:
        store = await open_store(conninfo=pool)
        assert await prepare(store, stream) == await store.stream_version(stream)
    assert cursors == []


@asynccontextmanager
async def direct_free_pool(conninfo: str, options: dict[str, Any]) -> AsyncIterator[Any]:
    from psycopg_pool import AsyncConnectionPool

    async with AsyncConnectionPool(conninfo, min_size=1, kwargs=options, open=False) as pool:
        yield pool


async def test_a_transaction_and_a_pipeline_run_on_cursors(
    store: Store, stream: str, cursors: list[str]
) -> None:
    version = await prepare(store, stream)
    statement = next(iter(cursors))
    cursors.clear()
    parameters = (stream, "EventA", '{"num": 1}', None, None, None)
    async with connection(store) as conn:
        for block in (conn.transaction, conn.pipeline):
            async with block():
                await conn.rows(statement, parameters)
        await conn.set_autocommit(False)
        await conn.rows(statement, parameters)
        await conn.rollback()
        await conn.set_autocommit(True)
    assert len(cursors) == 3
    assert await store.stream_version(stream) == version + 2


async def test_notifications_that_arrive_meanwhile_are_kept(
    store: Store, connect: Connect, stream: str
) -> None:
    await prepare(store, stream)
    async with connection(store) as conn:
        await conn.execute("LISTEN kept")
    notifying = connect()
    notifying.execute("NOTIFY kept, 'one'")
    await store.write(stream, EventA(1))
    notifying.execute("NOTIFY kept, 'two'")
    await store.write(stream, EventA(2))
    async with connection(store) as conn:
        found = [each.payload async for each in conn.notifies(timeout=0)]
        assert found == ["one", "two"]
        handled: list[str] = []
        conn.add_notify_handler(lambda each: handled.append(each.payload))
    notifying.execute("NOTIFY kept, 'three'")
    await store.write(stream, EventA(3))
    assert handled == ["three"]


async def test_notices_reach_the_connections_handlers(
    open_store: OpenStore, connect: Connect, schema: str, stream: str
) -> None:
    store = await open_store(store=schema)
    await prepare(store, stream)
    connect().execute(
        sql.SQL(
            "CREATE FUNCTION {0}.say() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE NOTICE 'written'; RETURN NULL; END$$;"
            "CREATE TRIGGER say AFTER INSERT ON {0}.messages EXECUTE FUNCTION {0}.say()"
        ).format(sql.Identifier(schema))
    )
    said: list[str | None] = []
    async with connection(store) as conn:
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary))
    await store.write(stream, EventA(1))
    assert said == ["written"]


async def test_a_commit_that_fails_after_the_answer_is_an_error(
    open_store: OpenStore, connect: Connect, schema: str, stream: str
) -> None:
    store = await open_store(store=schema)
    version = await prepare(store, stream)
    connect().execute(
        sql.SQL(
            "CREATE FUNCTION {0}.fail() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'at commit'; END$$;"
            "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON {0}.messages"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {0}.fail()"
        ).format(sql.Identifier(schema))
    )
    with pytest.raises(psycopg.errors.RaiseException):
        await store.write(stream, EventA(1))
    assert await store.stream_version(stream) == version


@pytest.mark.parametrize("statement", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE PREPARE ALL"])
async def test_a_statement_that_the_server_forgot_is_prepared_again(
    store: Store, stream: str, cursors: list[str], statement: str
) -> None:
    version = await prepare(store, stream)
    async with connection(store) as conn:
        await conn.execute(statement)
    cursors.clear()
    for number in range(3):
        assert (await store.write(stream, EventA(number))).version == version + number + 1
    assert len(cursors) == 1
    assert await prepared(store) == 1


async def test_a_statement_that_another_client_prepared_is_used(
    store: Store, stream: str, cursors: list[str]
) -> None:
    """As behind a pooler that gives a session to each transaction; or its task was cancelled."""
    version = await prepare(store, stream)
    async with connection(store) as conn:
        conn._store_prepared.clear()
    cursors.clear()
    for number in range(3):
        assert (await store.write(stream, EventA(number))).version == version + number + 1
    assert cursors == []


async def test_a_statement_whose_result_has_another_type_runs_again(
    open_store: OpenStore,
    connect: Connect,
    schema: str,
    stream: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = await open_store(store=schema)
    version = await prepare(store, stream)
    for _ in range(THRESHOLD + 1):
        assert await store.stream_version(stream) == version
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
        assert await store.stream_version(stream) == 7
    assert len(refused) == 1  # not each time


async def test_errors_are_those_of_a_cursor(
    store: Store, stream: str, cursors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(call: Any) -> tuple[Any, ...]:
        with pytest.raises((psycopg.Error, InvalidArgumentError)) as caught:
            await call()
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
    version = await prepare(store, stream)
    cursors.clear()
    found = [await refused(call) for call in calls]
    assert len(cursors) == 2  # of texts that no server can get
    with monkeypatch.context() as patch:
        patch.setattr(direct, "async_can_wait", lambda: False)
        by_cursor = [await refused(call) for call in calls]
    assert found == by_cursor
    assert by_cursor[0][0] is OptimisticConcurrencyError
    assert await store.stream_version(stream) == version


VALUES = [
    *("2024-02-29 12:30:15.123456+01", "0001-01-01 00:00:00+00", "9999-12-30 23:59:59.999999+00"),
    *("infinity", "-infinity", "0044-03-15 12:00:00+00 BC", None),
]


@pytest.mark.parametrize("value", VALUES)
async def test_values_are_those_of_a_cursor(store: Store, value: str | None) -> None:
    statement = (
        "SELECT %s::timestamptz, %s::text, 'ü{}'::text, -1::bigint, 9223372036854775807::bigint,"
        " 'f7d9bd0a-54c4-7b5e-8b1a-0a1d3a1f3e11'::uuid, true, NULL::jsonb, 1.5::float8,"
        " '100%%'::text"
    )

    async def result(conn: AsyncDirectConnection, *, cursor: bool) -> Any:
        try:
            if cursor:
                return await run(conn, statement, (value, value))
            return await conn.rows(statement, (value, value))
        except InvalidArgumentError as error:
            return type(error), str(error)

    async with connection(store) as conn:
        for zone in ("UTC", "Asia/Kathmandu"):
            await conn.execute(f"SET TimeZone = '{zone}'".encode())
            wanted = await result(conn, cursor=True)
            found = [await result(conn, cursor=False) for _ in range(THRESHOLD + 3)]
            assert list(map(repr, found)) == [repr(wanted)] * len(found)


async def test_a_connection_with_another_encoding_uses_a_cursor(store: Store, stream: str) -> None:
    await prepare(store, stream)
    async with connection(store) as conn:
        await conn.execute("SET client_encoding = 'latin1'")
    await store.write(stream, EventB("ü"))
    found = await store.last(stream)
    assert found is not None
    assert found.message == EventB("ü")


async def test_messages_larger_than_the_sockets_buffers(store: Store, stream: str) -> None:
    await prepare(store, stream)
    for _ in range(THRESHOLD + 1):
        await store.last(stream)
    text = "x" * 20_000_000
    await store.write(stream, EventB(text))
    found = await store.last(stream)
    assert found is not None
    assert found.message == EventB(text)


async def test_a_statement_timeout_leaves_the_connection_usable(
    open_store: OpenStore, conninfo: str, connect: Connect, stream: str
) -> None:
    address = make_conninfo(conninfo, options="-c statement_timeout=300ms")
    store = await open_store(conninfo=address)
    version = await prepare(store, stream)
    blocking = connect(autocommit=False)
    blocking.execute(
        sql.SQL("SELECT {}.write_message(%s, 'EventA', '{{\"num\": 1}}')").format(
            sql.Identifier(store.name)
        ),
        (stream,),
    )
    async with connection(store) as conn:
        before = conn.info.backend_pid
    with pytest.raises(psycopg.errors.QueryCanceled):
        await store.write(stream, EventA(1))
    blocking.rollback()
    assert (await store.write(stream, EventA(2))).version == version + 1
    async with connection(store) as conn:
        assert conn.info.backend_pid == before


async def test_many_callers_at_once_each_get_their_own_answer(store: Store, stream: str) -> None:
    async def one(number: int) -> None:
        own = f"{stream}-{number}"
        for version in range(1, 30):
            assert (await store.write(own, EventA(number))).version == version
            last = await store.last(own)
            assert last is not None
            assert (last.stream, last.message.num, last.version) == (own, number, version)

    async with AsyncParallel() as parallel:
        await parallel.start(*[lambda number=each: one(number) for each in range(8)])
        assert await parallel.results() == [None] * 8
