"""Stores on Django's connections: an operation runs on that of its thread, as a model's query."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    MessageStore,
    OptimisticConcurrencyError,
    StoredMessage,
    Subscription,
    TransactionFailedError,
)
from pgstore.testing import handle, reset
from tests.client.parallel import Parallel
from tests.frameworks.messages import Paid
from tests.frameworks.test_django import Orders, django, orders
from tests.stores import Stores

__all__ = ["django", "orders"]

Store = MessageStore[Paid]


@pytest.fixture(params=["default", "pooled", "bound", "serializable"])
def alias(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(django: Any, shared: str, alias: str) -> Iterator[Store]:
    with MessageStore[Paid](django.connections[alias], store=shared, messages=Paid) as store:
        yield store


@pytest.fixture
def outside(conninfo: str, shared: str) -> Iterator[Store]:
    """The same store on connections of its own."""
    with MessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        yield store


def test_operations_are_part_of_the_atomic_block(
    store: Store, outside: Store, django: Any, orders: Orders, stream: str, alias: str
) -> None:
    with django.transaction.atomic(using=alias):
        store.write(stream, Paid(1))
        assert (store.stream_version(stream), outside.stream_version(stream)) == (1, 0)
        orders.add("a", alias)
    assert (outside.stream_version(stream), orders.count()) == (1, 1)
    with suppress(ZeroDivisionError), django.transaction.atomic(using=alias):
        orders.add("b", alias)
        store.write(stream, Paid(2))
        raise ZeroDivisionError
    assert (outside.stream_version(stream), orders.count()) == (1, 1)


def test_outside_of_a_block_each_operation_is_committed(
    store: Store, outside: Store, stream: str
) -> None:
    store.write(stream, Paid(1))
    assert outside.stream_version(stream) == 1
    with pytest.raises(OptimisticConcurrencyError):
        store.write(stream, Paid(1), expected_version=7)
    assert [each.message for each in store.read(stream)] == [Paid(1)]


def test_reads_that_may_be_stale_are_part_of_the_atomic_block_too(
    django: Any, conninfo: str, shared: str, stream: str, alias: str
) -> None:
    with (
        MessageStore[Paid](
            django.connections[alias], read_conninfo=conninfo, store=shared, messages=Paid
        ) as store,
        django.transaction.atomic(using=alias),
    ):
        store.write(stream, Paid(1))
        assert [each.message for each in store.read(stream)] == [Paid(1)]


def test_a_conflict_that_is_caught_marks_the_block(
    store: Store, django: Any, orders: Orders, stream: str, alias: str
) -> None:
    with django.transaction.atomic(using=alias):
        orders.add("a", alias)
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(1), expected_version=7)
        assert django.transaction.get_rollback(using=alias)
    assert orders.count() == 0


def test_a_transaction_of_the_store_is_a_block_for_models_too(
    store: Store, outside: Store, orders: Orders, stream: str, alias: str
) -> None:
    with store.transaction() as conn:
        store.write(stream, Paid(1), conn=conn)
        store.write(stream, Paid(2))
        orders.add("a", alias)
        assert outside.stream_version(stream) == 0
    assert (outside.stream_version(stream), orders.count()) == (2, 1)
    with pytest.raises(TransactionFailedError), store.transaction():
        orders.add("b", alias)
        with pytest.raises(OptimisticConcurrencyError):
            store.write(stream, Paid(3), expected_version=7)
    with store.transaction():
        pass
    assert orders.count() == 1


def test_states_that_are_not_committed_are_not_remembered(
    store: Store, django: Any, stream: str, alias: str
) -> None:
    decider = store.decider(lambda state, paid: state + paid.amount, int, cache=10)
    with suppress(ZeroDivisionError), django.transaction.atomic(using=alias):
        decider.decide(stream, lambda state: Paid(state + 1))
        assert decider.load(stream).state == 1
        raise ZeroDivisionError
    assert decider.load(stream).state == 0


def test_connections_of_djangos_pool_are_given_back(django: Any, shared: str, stream: str) -> None:
    with MessageStore[Paid](django.connections["pooled"], store=shared, messages=Paid) as store:
        store.write(stream, Paid(1))
        assert django.connections["pooled"].connection is None
        with store.transaction():
            store.write(stream, Paid(2))
        assert django.connections["pooled"].connection is None
        # The pool's only connection is free for another thread.
        other = threading.Thread(target=store.write, args=(stream, Paid(3)))
        other.start()
        other.join(20)
        assert store.stream_version(stream) == 3


def test_after_its_session_was_ended_a_store_continues(
    store: Store, outside: Store, django: Any, stream: str, alias: str
) -> None:
    django.connections[alias].ensure_connection()
    store.write(stream, Paid(1))
    with django.connections["other"].cursor() as cursor:
        pid = django.connections[alias].connection.info.backend_pid
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    store.write(stream, Paid(2))
    assert outside.stream_version(stream) == 2


def test_workers_and_followers_run_on_djangos_connections(
    store: Store, outside: Store, django: Any, orders: Orders, stream: str, alias: str
) -> None:
    category = stream.replace("-", "")
    handled: list[int] = []
    followed: list[int] = []
    subscription = store.subscription(f"on-{stream}", category=category)

    @subscription.handler
    def handle(event: Paid, conn: psycopg.Connection[Any]) -> None:
        orders.add(str(event.amount), alias)  # in the transaction that acknowledges
        handled.append(event.amount)
        if handled == [0]:
            raise ZeroDivisionError

    follower = store.follow(category=category)

    def follow() -> None:
        for each in follower:
            followed.append(each.message.amount)
        django.connections.close_all()

    def run() -> None:
        store.run(subscription, signals=False)
        django.connections.close_all()

    with Parallel() as parallel:
        parallel.start(run, follow)
        for amount in range(5):
            outside.write(f"{category}-1", Paid(amount))
        Parallel.until(lambda: len(handled) == 6 and len(followed) == 5)
        Parallel.until(lambda: subscription.position() >= 5)
        store.stop()
        follower.stop()
        parallel.results()
    assert (handled, followed) == ([0, *range(5)], list(range(5)))
    assert orders.count() == 5


def test_subscriptions_do_not_run_in_a_block(
    store: Store, outside: Store, django: Any, stream: str, alias: str
) -> None:
    subscription = store.subscription(f"on-{stream}", stream_pattern=stream)
    seen = collecting(subscription)
    with django.transaction.atomic(using=alias):
        store.write(stream, Paid(1))
        for run in store.run, store.run_once:
            with pytest.raises(InvalidArgumentError, match="atomic"):
                run(subscription)
        subscription.apply(store.read(stream), django.connections[alias])
        handle(subscription, Paid(2), conn=django.connections[alias])
    assert seen == [1, 2]
    assert store.run_once(subscription) == 1
    assert seen == [1, 2, 1]


def test_a_subscription_whose_creation_was_rolled_back_is_created_again(
    store: Store, django: Any, stream: str, alias: str
) -> None:
    subscription = store.subscription(f"on-{stream}")
    for _ in range(2):
        with suppress(ZeroDivisionError), django.transaction.atomic(using=alias):
            subscription.create()
            subscription.pause()
            assert len(subscription.partitions()) == 1
            raise ZeroDivisionError
    subscription.pause()
    assert len(subscription.partitions()) == 1


def test_a_reset_is_part_of_the_block(
    django: Any, conninfo: str, stores: Stores, stream: str
) -> None:
    with (
        stores.taken() as name,
        MessageStore[Paid](django.connection, store=name, messages=Paid) as store,
    ):
        store.write(stream, Paid(1))
        with suppress(ZeroDivisionError), django.transaction.atomic():
            reset(store)
            assert store.stream_version(stream) == 0
            raise ZeroDivisionError
        assert store.stream_version(stream) == 1
        reset(store)
        store.write(stream, Paid(1), expected_version=0)


def collecting(subscription: Subscription[Paid]) -> list[int]:
    """The amounts that the subscription's handler, which takes the transaction, has seen."""
    seen: list[int] = []

    @subscription.handler
    def see(stored: StoredMessage[Paid], tx: psycopg.Connection[Any]) -> None:
        tx.execute("SELECT 1")
        seen.append(stored.message.amount)

    return seen


def test_a_store_is_not_installed_where_django_refuses_to_connect(
    django: Any, server_conninfo: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.exceptions import SynchronousOnlyOperation
    from django.db.backends.base.base import BaseDatabaseWrapper

    name = f"{schema}_refused"
    store = MessageStore[Paid](django.connection, store=name, messages=Paid)

    async def view() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            store.stream_version("order-1")

    def blocked(wrapper: object) -> None:
        raise RuntimeError("as pytest-django does in a test without a database")

    asyncio.run(view())
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", blocked)
    with pytest.raises(RuntimeError, match="pytest-django"):
        store.write("order-1", Paid(1))
    with psycopg.connect(server_conninfo) as conn:
        assert conn.execute("SELECT to_regnamespace(%s)", [name]).fetchone() == (None,)


def test_what_cannot_be_the_base_of_a_store_is_refused(django: Any, shared: str) -> None:
    default, manual, lite = (django.connections[each] for each in ("default", "manual", "lite"))
    with pytest.raises(InvalidArgumentError, match="sqlite"):
        MessageStore[Paid](lite, messages=Paid)
    with pytest.raises(InvalidArgumentError, match="AUTOCOMMIT"):
        MessageStore[Paid](manual, messages=Paid)
    with pytest.raises(InvalidArgumentError, match="group_writes"):
        MessageStore[Paid](default, messages=Paid, group_writes=True)
    with pytest.raises(InvalidArgumentError, match="sync_to_async"):
        AsyncMessageStore[Paid](default, messages=Paid)
