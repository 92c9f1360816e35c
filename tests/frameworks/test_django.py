"""Operations in a transaction of Django's: `conn=` takes its connections and aliases."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from psycopg import sql

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    MessageStore,
    OptimisticConcurrencyError,
    StoredMessage,
    TransactionFailedError,
)
from tests.frameworks.django_settings import configure
from tests.frameworks.messages import Paid

Store = MessageStore[Paid]

ALIASES = ["default", "bound", "prepared", "pooled", "serializable"]


@pytest.fixture
def django(server_conninfo: str, schema: str) -> Iterator[Any]:
    """django.db and a table of the test's; connections are closed afterwards."""
    configure(server_conninfo)
    from django import db

    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        conn.execute(sql.SQL("CREATE TABLE {}.orders (key text)").format(sql.Identifier(schema)))
    yield db
    db.connections.close_all()
    db.connections["pooled"].close_pool()


@pytest.fixture
def store(conninfo: str, shared: str) -> Iterator[Store]:
    """A store with connections of its own."""
    with MessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        yield store


class Orders:
    def __init__(self, django: Any, schema: str) -> None:
        self._django = django
        self._table = f"{schema}.orders"

    def add(self, key: str, using: str = "default") -> None:
        with self._django.connections[using].cursor() as cursor:
            cursor.execute(f"INSERT INTO {self._table} VALUES (%s)", [key])

    def count(self) -> int:
        with self._django.connections["other"].cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {self._table}")
            return int(cursor.fetchone()[0])


@pytest.fixture
def orders(django: Any, schema: str) -> Orders:
    return Orders(django, schema)


def form(django: Any, which: str) -> Any:
    return {
        "proxy": django.connection,
        "wrapper": django.connections["default"],
        "alias": "default",
    }[which]


@pytest.mark.parametrize("which", ["proxy", "wrapper", "alias"])
def test_a_write_is_part_of_the_atomic_block(
    store: Store, django: Any, orders: Orders, stream: str, which: str
) -> None:
    conn = form(django, which)
    with django.transaction.atomic():  # the write comes first
        store.write(stream, Paid(1), conn=conn)
        assert store.stream_version(stream) == 0
        orders.add("a")
    assert (orders.count(), store.stream_version(stream)) == (1, 1)
    with pytest.raises(ZeroDivisionError), django.transaction.atomic():
        orders.add("b")
        store.write(stream, Paid(1), conn=conn)
        raise ZeroDivisionError
    assert (orders.count(), store.stream_version(stream)) == (1, 1)


@pytest.mark.parametrize("alias", ALIASES)
def test_every_kind_of_database_works(store: Store, django: Any, stream: str, alias: str) -> None:
    with django.transaction.atomic(using=alias):
        store.write(stream, Paid(1), metadata={"a": [1]}, tags=["x"], conn=alias)
        found = store.last(stream, conn=django.connections[alias])
        assert store.stream_version(stream) == 0
    assert found is not None
    assert found == store.last(stream)
    assert (found.message, found.metadata, found.tags) == (Paid(1), {"a": [1]}, ("x",))
    assert found.added_at.utcoffset() is not None


@pytest.mark.parametrize("connected", [False, True])
def test_outside_of_atomic_each_write_is_committed_on_djangos_connection(
    store: Store, django: Any, stream: str, connected: bool
) -> None:
    if connected:
        django.connection.ensure_connection()
    else:
        django.connection.close()
        assert django.connection.connection is None
    store.write(stream, Paid(1), conn=django.connection)
    assert store.stream_version(stream) == 1
    assert django.connection.connection is not None
    assert django.connection.get_autocommit()
    with pytest.raises(OptimisticConcurrencyError):
        store.write(stream, Paid(1), expected_version=7, conn=django.connection)
    store.write(stream, Paid(1), conn=django.connection)
    assert store.stream_version(stream) == 2


def test_without_autocommit_djangos_commit_commits(store: Store, django: Any, stream: str) -> None:
    store.write(stream, Paid(1), conn="manual")
    assert store.stream_version(stream) == 0
    django.transaction.commit(using="manual")
    assert store.stream_version(stream) == 1


def test_without_autocommit_a_conflict_that_is_caught_makes_the_commit_fail(
    store: Store, django: Any, orders: Orders, stream: str
) -> None:
    for _ in range(2):
        orders.add("a", "manual")
        for _ in range(2):
            with pytest.raises((OptimisticConcurrencyError, psycopg.errors.InFailedSqlTransaction)):
                store.write(stream, Paid(1), expected_version=77, conn="manual")
        for _ in range(2):
            with pytest.raises(TransactionFailedError, match="atomic"):
                django.transaction.commit(using="manual")
        django.transaction.rollback(using="manual")
    assert orders.count() == 0
    for version in range(2):  # the connection is good again
        orders.add("b", "manual")
        store.write(stream, Paid(1), expected_version=version, conn="manual")
        django.transaction.commit(using="manual")
    assert (orders.count(), store.stream_version(stream)) == (2, 2)


def test_a_conflict_that_is_caught_rolls_the_block_back_as_an_error_of_a_model_does(
    store: Store, django: Any, orders: Orders, stream: str
) -> None:
    committed: list[int] = []
    with django.transaction.atomic():
        orders.add("a")
        django.transaction.on_commit(lambda: committed.append(1))
        with pytest.raises(OptimisticConcurrencyError) as conflict:
            store.write(stream, Paid(1), expected_version=77, conn=django.connection)
        assert django.transaction.get_rollback()
        with pytest.raises(django.transaction.TransactionManagementError) as refused:
            orders.add("b")
        assert refused.value.__cause__ is conflict.value
        with pytest.raises(django.transaction.TransactionManagementError):
            store.write(stream, Paid(1), conn=django.connection)
    assert (orders.count(), store.stream_version(stream), committed) == (0, 0, [])
    orders.add("c")  # the connection is good again
    assert orders.count() == 1


@pytest.mark.parametrize("caught", ["inside", "outside"])
def test_after_a_conflict_in_an_inner_block_the_outer_one_continues(
    store: Store, django: Any, orders: Orders, stream: str, caught: str
) -> None:
    with django.transaction.atomic():
        orders.add("a")
        with suppress(OptimisticConcurrencyError), django.transaction.atomic():
            orders.add("lost")
            with suppress(*[OptimisticConcurrencyError] * (caught == "inside")):
                store.write(stream, Paid(1), expected_version=77, conn=django.connection)
        orders.add("b")
        store.write(stream, Paid(1), expected_version=0, conn=django.connection)
    assert (orders.count(), store.stream_version(stream)) == (2, 1)


def test_an_inner_block_without_a_savepoint_fails_the_outer_one(
    store: Store, django: Any, orders: Orders, stream: str
) -> None:
    with django.transaction.atomic():
        orders.add("a")
        with suppress(OptimisticConcurrencyError), django.transaction.atomic(savepoint=False):
            store.write(stream, Paid(1), expected_version=77, conn=django.connection)
        assert django.transaction.get_rollback()
    assert orders.count() == 0


def test_a_durable_block_commits_a_write(store: Store, django: Any, stream: str) -> None:
    with django.transaction.atomic(durable=True):
        store.write(stream, Paid(1), conn="default")
    assert store.stream_version(stream) == 1


def test_an_argument_that_is_refused_before_the_server_leaves_the_block_alone(
    store: Store, django: Any, orders: Orders, stream: str
) -> None:
    with django.transaction.atomic():
        wrong: Any = "no message"
        with pytest.raises(InvalidArgumentError):
            store.write(stream, wrong, conn=django.connection)
        orders.add("a")
    assert orders.count() == 1


def test_decide_in_a_block_decides_again_after_a_conflict(
    store: Store, django: Any, conninfo: str, stream: str
) -> None:
    decider = store.decider(lambda state, paid: state + paid.amount, int)
    tries = []

    def decide(state: int) -> Paid:
        tries.append(state)
        if len(tries) == 1:  # another writer comes first
            store.write(stream, Paid(10))
        return Paid(state + 1)

    with django.transaction.atomic():
        decided = decider.decide(stream, decide, conn=django.connection)
    assert (tries, decided.state, store.stream_version(stream)) == ([0, 10], 21, 2)


def test_apply_gives_handlers_psycopgs_connection_in_the_block(
    store: Store, django: Any, orders: Orders, stream: str
) -> None:
    subscription = store.subscription("apply")
    given = []

    @subscription.handler
    def handle(stored: StoredMessage[Paid], conn: psycopg.Connection[Any]) -> None:
        given.append(conn)

    with django.transaction.atomic():
        store.write(stream, Paid(1), conn=django.connection)
        last = store.last(stream, conn=django.connection)
        assert last is not None
        subscription.apply([last], django.connection)
        assert given == [django.connection.connection]
    with pytest.raises(InvalidArgumentError, match="transaction"):
        subscription.apply([last], django.connection)


def test_a_lost_connection_is_an_error_and_django_connects_again(
    store: Store, django: Any, orders: Orders, stream: str
) -> None:
    with suppress(psycopg.OperationalError), django.transaction.atomic():
        store.write(stream, Paid(1), conn=django.connection)
        pid = django.connection.connection.info.backend_pid
        with django.connections["other"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        store.write(stream, Paid(1), conn=django.connection)
    assert store.stream_version(stream) == 0
    with django.transaction.atomic():
        store.write(stream, Paid(1), conn=django.connection)
    assert store.stream_version(stream) == 1


def test_at_the_end_of_the_request_django_closes_a_connection_that_was_lost(
    store: Store, django: Any, stream: str
) -> None:
    kept = django.connections["serializable"]  # from one request to the next
    store.write(stream, Paid(1), conn=kept)
    with django.connections["other"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [kept.connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        store.write(stream, Paid(1), conn=kept)
    django.close_old_connections()
    store.write(stream, Paid(1), conn=kept)
    assert store.stream_version(stream) == 2


def test_other_databases_caches_and_unknown_aliases_are_refused(
    store: Store, django: Any, stream: str
) -> None:
    from django.core.cache import cache

    with pytest.raises(InvalidArgumentError, match="sqlite"):
        store.write(stream, Paid(1), conn="lite")
    other: Any = cache
    with pytest.raises(InvalidArgumentError, match="cache"):
        store.write(stream, Paid(1), conn=other)
    with pytest.raises(InvalidArgumentError, match="Django's settings") as refused:
        store.write(stream, Paid(1), conn="postgresql://ada:secret@localhost/demo")
    assert "secret" not in str(refused.value)


def test_with_asyncio_djangos_connections_are_refused_and_sync_to_async_works(
    store: Store, django: Any, conninfo: str, shared: str, stream: str
) -> None:
    from django.core.exceptions import SynchronousOnlyOperation

    def write() -> None:
        with django.transaction.atomic():
            store.write(stream, Paid(1), conn=django.connection)
        django.connection.close()

    async def view() -> None:
        async with AsyncMessageStore[Paid](conninfo, store=shared, messages=Paid) as other:
            wrong: Any
            for wrong in (django.connection, "default"):
                with pytest.raises(InvalidArgumentError, match=r"sync_to_async|AsyncConnection"):
                    await other.write(stream, Paid(1), conn=wrong)
        with pytest.raises(SynchronousOnlyOperation):
            store.write(stream, Paid(1), conn=django.connection)
        await sync_to_async(write)()

    asyncio.run(view())
    assert store.stream_version(stream) == 1


def test_requests_are_one_transaction_with_atomic_requests(
    store: Store, django: Any, orders: Orders, stream: str
) -> None:
    """A view that answers a conflict with 409 stores nothing, and its answer arrives."""
    from django.http import HttpRequest, HttpResponse
    from django.test import Client
    from django.urls import path

    from tests.frameworks import django_urls

    def pay(request: HttpRequest, version: int) -> HttpResponse:
        orders.add("a")
        try:
            store.write(stream, Paid(1), expected_version=version, conn=django.connection)
        except OptimisticConcurrencyError:
            return HttpResponse(status=409)
        return HttpResponse(status=201)

    django_urls.urlpatterns[:] = [path("pay/<int:version>", pay)]
    django.connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        statuses = [Client().post(f"/pay/{version}").status_code for version in (0, 7, 1)]
    finally:
        django.connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert statuses == [201, 409, 201]
    assert (orders.count(), store.stream_version(stream)) == (2, 2)
