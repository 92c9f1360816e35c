# Generated from tests/client/_async/test_directory.py by `python tools/unasync.py`.

"""Stores that find their place in a directory, and go with it when it changes."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import pgstore
from pgstore import MessageStore
from pgstore._compat.tasks import Task
from pgstore._core.places import place_of
from tests.client._sync.places import Servers
from tests.client.messages import EventA
from tests.client.parallel import Parallel


@pytest.fixture
def servers(conninfo: str) -> Iterator[Servers]:
    with Servers.made(conninfo) as servers:
        yield servers


@pytest.fixture
def store(servers: Servers) -> Iterator[MessageStore[EventA]]:
    with servers.directory.store("bank", messages=EventA) as store:
        yield store


def test_directory_says_where_a_store_is_without_user_and_password(servers: Servers) -> None:
    directory = servers.directory
    directory.install()  # again
    directory.put("shop", "host=db.example.net port=5433 dbname=s user=me password=secret")
    place = directory.place("shop")
    assert conninfo_to_dict(place.conninfo) == {
        "host": "db.example.net",
        "port": "5433",
        "dbname": "s",
    }
    assert place.state == "open"
    assert timedelta(0) <= datetime.now(UTC) - place.since < timedelta(minutes=5)
    assert [each.store for each in directory.places()] == ["bank", "shop"]
    directory.put("shop", place.conninfo)
    assert directory.place("shop") == place
    assert directory.remove("shop")
    assert not directory.remove("shop")
    with pytest.raises(pgstore.StoreNotInDirectoryError) as caught:
        directory.place("shop")
    assert caught.value.store == "shop"
    store = directory.store("shop", messages=EventA)
    with pytest.raises(pgstore.StoreNotInDirectoryError):
        store.write("a-1", EventA(1))


def test_operations_continue_at_the_new_place(
    servers: Servers, store: MessageStore[EventA]
) -> None:
    store.write("a-1", EventA(1))
    servers.move()
    store.write("a-2", EventA(1))
    store.write_many("a-3", [EventA(1), EventA(2)])
    assert store.stream_version("a-3") == 2
    assert servers.streams(servers.first) == ["a-1"]
    assert servers.streams(servers.second) == ["a-2", "a-3", "a-3"]
    assert [each.stream for each in store.read_all()] == ["a-2", "a-3", "a-3"]


def test_grouped_writes_continue_at_the_new_place(servers: Servers) -> None:
    with servers.directory.store("bank", messages=EventA, group_writes=True) as store:
        store.write("a-1", EventA(1))
        servers.move()
        store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]


def test_write_waits_until_the_store_is_open(servers: Servers, store: MessageStore[EventA]) -> None:
    store.write("a-1", EventA(1))
    servers.close(servers.first, servers.second)
    done: list[int] = []

    def write() -> None:
        done.append(store.write("a-2", EventA(1)).version)

    task = Task(write, "writer")
    time.sleep(0.2)
    assert done == []
    servers.open(servers.second)
    servers.directory.put("bank", servers.second)
    task.join()
    assert done == [1]
    assert servers.streams(servers.second) == ["a-2"]


def test_store_is_found_where_it_is_open_although_the_directory_is_late(
    servers: Servers, store: MessageStore[EventA]
) -> None:
    store.write("a-1", EventA(1))
    servers.close(servers.first, servers.second)
    servers.open(servers.second)
    store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]


def test_transaction_is_told_and_the_next_one_is_at_the_new_place(
    servers: Servers, store: MessageStore[EventA]
) -> None:
    store.write("a-1", EventA(1))
    servers.move()
    with pytest.raises(pgstore.StoreMovedError) as caught, store.transaction() as conn:
        store.write("a-2", EventA(1), conn=conn)
    assert caught.value.conninfo == place_of(servers.second)
    assert caught.value.store == "bank"
    with store.transaction() as conn:
        store.write("a-2", EventA(1), conn=conn)
    assert servers.streams(servers.second) == ["a-2"]


def test_store_without_a_directory_raises(servers: Servers) -> None:
    with MessageStore(servers.first, store="bank", messages=EventA) as store:
        store.write("a-1", EventA(1))
        servers.move()
        with pytest.raises(pgstore.StoreMovedError):
            store.write("a-2", EventA(1))
        with pytest.raises(pgstore.StoreMovedError):
            store.run(scheduled=True, signals=False)
        with pytest.raises(pgstore.StoreMovedError):
            for _ in store.follow():
                pass
    assert servers.streams(servers.second) == []


def test_follower_that_waits_continues_at_the_new_place(
    servers: Servers, store: MessageStore[EventA]
) -> None:
    seen: list[int] = []

    def follow() -> None:
        for stored in store.follow(types=[EventA]):
            seen.append(stored.message.num)
            if len(seen) == 2:
                return

    store.write("a-1", EventA(1))
    task = Task(follow, "follower")
    # It waits on the connection that it has borrowed.
    Parallel.until(lambda: not store._waker.lending.returned.is_set())
    servers.run(servers.second, "SELECT bank.lift_fence()")
    servers.run(servers.second, "SELECT bank.write_message('a-0', 'EventA', '{\"num\": 0}')")
    servers.run(servers.second, "SELECT bank.fence_store('host=elsewhere')")
    servers.move()
    store.write("a-2", EventA(2))
    task.join()
    assert seen == [1, 2]


def test_worker_continues_at_the_new_place_and_blames_no_message(
    servers: Servers, store: MessageStore[EventA]
) -> None:
    """The store is closed while a handler works: its transaction is undone, and done there."""
    # As if the store had been copied, with the subscription.
    for place, other in ((servers.first, servers.second), (servers.second, servers.first)):
        servers.open(place)
        with MessageStore(place, store="bank", messages=EventA) as copy:
            copy.write("a-1", EventA(1))
            copy.subscription("all", max_attempts=1).create()
        if place == servers.second:
            servers.close(place, other)
    calls: list[str] = []
    subscription = store.subscription("all", max_attempts=1)

    @subscription.handler
    def handle(message: EventA, conn: psycopg.Connection[Any]) -> None:
        calls.append(conn.info.dbname)
        if len(calls) == 1:
            servers.move()
        else:
            store.stop()

    store.run(subscription, signals=False)
    assert calls == [conninfo_to_dict(each)["dbname"] for each in (servers.first, servers.second)]
    parts = store.subscription("all").partitions()
    assert [(part.attempts, part.behind, part.error) for part in parts] == [(0, 0, None)]
