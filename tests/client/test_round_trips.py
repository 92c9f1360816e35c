"""`write` and `write_many` are one statement and one round trip each, counted on the wire.

Between the client and the server stands a proxy that reads the client's messages. A flight ends
with Sync or with a simple query, after which a client waits for the answer.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import pgstore
from tests.stores import Stores

ONE_STATEMENT = "BDES"  # Bind, Describe, Execute, Sync: a prepared statement
UNPREPARED = "P" + ONE_STATEMENT
PREPARING = "PS"

WARM_UP = 10

_PORT = 5432


class Event(msgspec.Struct):
    num: int


class Proxy:
    """A server's socket that remembers the flights which pass through it, of all connections."""

    def __init__(self, folder: Path, target: str | tuple[str, int]) -> None:
        self.folder = folder
        self.flights: list[str] = []
        self._target = target
        self._ends: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / f".s.PGSQL.{_PORT}"))
        self._listening.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listening, *self._ends):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = self._connect()
                self._ends += [client, server]
                for work in (self._read_client, self._copy_answers):
                    thread = threading.Thread(target=work, args=(client, server))
                    self._threads.append(thread)
                    thread.start()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            return server
        return socket.create_connection(self._target)

    def _read_client(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client.makefile("rb") as stream:
            flight, kind = "", b""  # the first message, of a new connection, has no type
            while header := stream.read(4):
                (length,) = struct.unpack("!I", header)
                if kind:
                    flight += kind.decode()
                if flight.endswith(("S", "Q")):
                    self.flights.append(flight)  # before the server can answer
                    flight = ""
                server.sendall(kind + header + stream.read(length - 4))
                kind = stream.read(1)
            server.shutdown(socket.SHUT_RDWR)

    def _copy_answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(65536):
                client.sendall(answer)
            client.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(conninfo: str) -> Iterator[Proxy]:
    with psycopg.connect(conninfo) as conn:
        host, port = conn.info.host, conn.info.port
    target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
    # Not tmp_path: the path of a socket is at most about 100 bytes long.
    with TemporaryDirectory(prefix="pgstore-") as folder:
        proxy = Proxy(Path(folder), target)
        try:
            yield proxy
        finally:
            proxy.close()


@pytest.fixture
def schema(stores: Stores) -> Iterator[str]:
    """Name of a store that is installed."""
    with stores.taken() as name:
        yield name


@pytest.fixture
def proxied(proxy: Proxy, conninfo: str) -> str:
    """The way to the server through the proxy."""
    return make_conninfo(
        conninfo, host=str(proxy.folder), port=_PORT, sslmode="disable", gssencmode="disable"
    )


@pytest.fixture(params=[5, 0, None], ids=["prepares", "prepares at once", "never prepares"])
def prepare_threshold(request: pytest.FixtureRequest) -> int | None:
    """psycopg's setting: after how many times a statement is prepared."""
    threshold: int | None = request.param
    return threshold


@pytest.fixture
def expected(prepare_threshold: int | None) -> str:
    """The one flight of an operation that has been done a few times."""
    return UNPREPARED if prepare_threshold is None else ONE_STATEMENT


Store = pgstore.MessageStore[Event]
AsyncStore = pgstore.AsyncMessageStore[Event]


@pytest.fixture(params=["write", "write_many"])
def operation(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def writing(store: Store, operation: str, conn: Connection[TupleRow] | None = None) -> None:
    if operation == "write":
        store.write("a-1", Event(1), metadata={"by": "test"}, conn=conn)
    else:
        store.write_many("a-1", [Event(n) for n in range(100)], conn=conn)


async def async_writing(store: AsyncStore, operation: str) -> None:
    if operation == "write":
        await store.write("a-1", Event(1), metadata={"by": "test"})
    else:
        await store.write_many("a-1", [Event(n) for n in range(100)])


def assert_one_flight_each(flights: list[str], count: int) -> None:
    """The store's own pool has several connections; each prepares the statement once."""
    executed = [flight for flight in flights if flight != PREPARING]
    assert len(executed) == count
    assert set(executed) == {UNPREPARED, ONE_STATEMENT}


def test_write_through_the_stores_own_pool_is_one_round_trip(
    proxy: Proxy, proxied: str, schema: str, operation: str
) -> None:
    with Store(proxied, store=schema, messages=Event) as store:
        store.stream_version("a-1")
        proxy.flights.clear()
        for _ in range(20):
            writing(store, operation)
        assert_one_flight_each(proxy.flights, 20)


def test_write_is_prepared_in_one_round_trip_more_once_a_connection(
    proxy: Proxy, proxied: str, schema: str, operation: str
) -> None:
    settings = {"autocommit": True}
    with ConnectionPool(proxied, min_size=1, max_size=1, kwargs=settings, open=True) as pool:
        store = Store(pool, store=schema, messages=Event)
        store.stream_version("a-1")
        proxy.flights.clear()
        for _ in range(8):
            writing(store, operation)
        assert proxy.flights == [UNPREPARED] * 5 + [PREPARING] + [ONE_STATEMENT] * 3


@pytest.mark.parametrize("autocommit", [True, False])
def test_write_through_a_users_pool_is_one_round_trip(
    proxy: Proxy,
    proxied: str,
    schema: str,
    operation: str,
    autocommit: bool,
    prepare_threshold: int | None,
    expected: str,
) -> None:
    settings = {"autocommit": autocommit, "prepare_threshold": prepare_threshold}
    with ConnectionPool(proxied, min_size=1, kwargs=settings, open=True) as pool:
        store = Store(pool, store=schema, messages=Event)
        for _ in range(WARM_UP):
            writing(store, operation)
        proxy.flights.clear()
        for _ in range(3):
            writing(store, operation)
        assert proxy.flights == [expected] * 3
        store.close()


@pytest.mark.parametrize("autocommit", [True, False])
async def test_async_write_through_a_users_pool_is_one_round_trip(
    proxy: Proxy,
    proxied: str,
    schema: str,
    operation: str,
    autocommit: bool,
    prepare_threshold: int | None,
    expected: str,
) -> None:
    settings = {"autocommit": autocommit, "prepare_threshold": prepare_threshold}
    async with AsyncConnectionPool(proxied, min_size=1, kwargs=settings, open=False) as pool:
        store = AsyncStore(pool, store=schema, messages=Event)
        for _ in range(WARM_UP):
            await async_writing(store, operation)
        proxy.flights.clear()
        for _ in range(3):
            await async_writing(store, operation)
        assert proxy.flights == [expected] * 3
        await store.aclose()


async def test_async_write_through_the_stores_own_pool_is_one_round_trip(
    proxy: Proxy, proxied: str, schema: str, operation: str
) -> None:
    async with AsyncStore(proxied, store=schema, messages=Event) as store:
        await store.stream_version("a-1")
        proxy.flights.clear()
        for _ in range(20):
            await async_writing(store, operation)
        assert_one_flight_each(proxy.flights, 20)


def test_write_in_a_transaction_of_the_store_is_one_round_trip(
    proxy: Proxy, proxied: str, schema: str, operation: str
) -> None:
    with Store(proxied, store=schema, messages=Event) as store:
        store.stream_version("a-1")
        proxy.flights.clear()
        with store.transaction() as conn:
            for _ in range(20):
                writing(store, operation, conn)
        _begin, *flights, _commit = proxy.flights
        assert_one_flight_each(flights, 20)


def test_write_in_the_callers_transaction_is_one_round_trip(
    proxy: Proxy,
    proxied: str,
    schema: str,
    operation: str,
    prepare_threshold: int | None,
    expected: str,
) -> None:
    with (
        Store(proxied, store=schema, messages=Event) as store,
        psycopg.connect(proxied, prepare_threshold=prepare_threshold) as conn,
    ):
        for _ in range(WARM_UP):
            writing(store, operation, conn)
        proxy.flights.clear()
        for _ in range(3):
            writing(store, operation, conn)
        assert proxy.flights == [expected] * 3
        conn.rollback()
        assert store.stream_version("a-1") == 0


@pytest.mark.parametrize("count", [1, 20])
def test_a_batch_in_the_handlers_transaction_is_four_round_trips(
    proxy: Proxy, proxied: str, schema: str, count: int
) -> None:
    """Claim; BEGIN with the mark of the handler; acknowledge; COMMIT. Another claim finds none."""
    settings = {"autocommit": True}
    with ConnectionPool(proxied, min_size=1, max_size=1, kwargs=settings, open=True) as pool:
        store = Store(pool, store=schema, messages=Event)
        subscription = store.subscription("s")

        @subscription.handler
        def handle(message: Event, tx: Connection[TupleRow]) -> None:
            pass

        for _ in range(WARM_UP):
            store.write("a-1", Event(1))
            store.run_once(subscription)
        store.write_many("a-1", [Event(n) for n in range(count)])
        proxy.flights.clear()
        assert store.run_once(subscription) == count
        # Flush: of the pipeline before, which has been answered.
        flights = [flight.removeprefix("H") for flight in proxy.flights]
        claim, begin, acknowledge, commit, claim_again = flights
        assert {claim, acknowledge, claim_again} == {ONE_STATEMENT}
        assert (begin.count("S"), begin.count("E"), commit) == (1, 2, "Q")
