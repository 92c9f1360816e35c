"""The server restarts under a runner and a follower: they go on, nothing is lost."""

import shutil
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

import pgstore
from pgstore import MessageStore, StoredMessage
from pgstore.embedded import Server, account
from tests.stress.messages import (
    INSERT_EFFECT,
    Noted,
    Seen,
    compare,
    create_effects,
    effects,
    seen,
    stored,
)
from tests.stress.worker import SINGLE

NAME = "restarted"
MESSAGES = 200
RESTARTS = 2


@pytest.fixture
def server() -> Iterator[Server]:
    folder = account.temporary_folder()
    try:
        with Server(folder / "server", settings={"fsync": "off"}) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def store(server: Server) -> Iterator[MessageStore[Noted]]:
    with pgstore.MessageStore(server.conninfo, store=NAME, messages=Noted) as store:
        store.safe_position()
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            create_effects(conn, NAME)
        yield store


def write(store: MessageStore[Noted], first: int) -> int:
    """Write some messages, a few milliseconds apart; the last one's position."""
    position = 0
    for number in range(first, first + MESSAGES):
        position = store.write(f"left-{number % 10}", Noted(0, number)).global_position
        time.sleep(0.002)
    return position


def test_runner_and_follower_outlive_a_restart_of_the_server(
    server: Server, store: MessageStore[Noted]
) -> None:
    single = store.subscription(SINGLE, partitions=4, batch_size=10)
    insert = INSERT_EFFECT.replace("{name}", NAME).encode()

    @single.handler
    def note(each: StoredMessage[Noted], tx: psycopg.Connection[TupleRow]) -> None:
        position, *rest = seen(each)
        tx.execute(insert, (SINGLE, position, *rest))

    followed: list[Seen] = []
    follower = store.follow()
    threads = [
        threading.Thread(target=lambda: store.run(single, workers=2, lease=2.0)),
        threading.Thread(target=lambda: followed.extend(seen(each) for each in follower)),
    ]
    for thread in threads:
        thread.start()
    position = write(store, 0)
    for restart in range(1, RESTARTS + 1):
        server.stop()
        time.sleep(0.5)
        server.start()
        position = write(store, restart * MESSAGES)
        single.wait_until(position)
    end = time.monotonic() + 20
    while (not followed or followed[-1][0] < position) and time.monotonic() < end:
        time.sleep(0.01)
    follower.stop()
    store.stop()
    for thread in threads:
        thread.join(20)

    with psycopg.connect(server.conninfo) as conn:
        there = stored(conn, NAME)
        assert len(there) == MESSAGES * (RESTARTS + 1)
        assert followed == there
        assert compare(effects(conn, NAME, SINGLE), there).faultless
