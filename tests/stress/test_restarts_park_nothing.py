"""Restarts of the server with one message in hand: it is not to blame, and is not parked."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import LiteralString

import psycopg
import pytest
from psycopg.rows import TupleRow

from pgstore import MessageStore
from pgstore.embedded import Server, account
from tests.amounts import amount
from tests.stress.messages import Noted

RESTARTS = amount(3, 10)
PATIENCE = 60


@pytest.fixture
def server() -> Iterator[Server]:
    folder = account.temporary_folder()
    try:
        with Server(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder)


def restarted(server: Server) -> None:
    server.stop()
    server.start()


def crashed(server: Server) -> None:
    """At once, as a machine that fails."""
    file = server.folder / "data/postmaster.pid"
    os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)
    end = time.monotonic() + PATIENCE
    while file.exists() and time.monotonic() < end:
        time.sleep(0.01)
    restarted(server)


def lost_a_process(server: Server, victim: LiteralString) -> None:
    """As the kernel does when memory is short; the postmaster ends all other sessions too."""
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(server.conninfo, autocommit=True) as conn,
        psycopg.connect(server.conninfo, autocommit=True) as witness,
    ):
        query = "SELECT a.pid FROM pg_stat_activity AS a WHERE " + victim
        (process,) = conn.execute(query).fetchone() or pytest.fail("no such process")
        os.kill(process, signal.SIGKILL)
        end = time.monotonic() + PATIENCE
        # Not by the victim's own session: it ends before the postmaster ends the others.
        while time.monotonic() < end:
            witness.execute("SELECT pg_sleep(0.01)")
        pytest.fail("the postmaster has ended no session")
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg.connect(server.conninfo).close()
        except psycopg.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.05)


def lost_the_handlers_process(server: Server) -> None:
    lost_a_process(server, "a.state = 'idle in transaction'")


def lost_another_process(server: Server) -> None:
    lost_a_process(server, "a.pid = pg_backend_pid()")


@pytest.mark.parametrize(
    "restart", [restarted, crashed, lost_the_handlers_process, lost_another_process]
)
def test_restarts_of_the_server_park_nothing(
    server: Server, restart: Callable[[Server], None]
) -> None:
    with MessageStore(server.conninfo, store="restarted", messages=Noted) as store:
        # With one attempt, the first that is counted parks it.
        subscription = store.subscription("single", on_failure="park", max_attempts=1)
        deliveries = 0
        in_hand, go_on = threading.Semaphore(0), threading.Semaphore(0)

        @subscription.handler
        def note(message: Noted, tx: psycopg.Connection[TupleRow]) -> None:
            nonlocal deliveries
            deliveries += 1
            in_hand.release()
            assert go_on.acquire(timeout=PATIENCE)
            tx.execute("SELECT 1")

        position = store.write("left-1", Noted(0, 1)).global_position
        thread = threading.Thread(target=lambda: store.run(subscription, lease=1.0))
        thread.start()
        for _ in range(RESTARTS):
            assert in_hand.acquire(timeout=PATIENCE)
            restart(server)
            go_on.release()
        for _ in range(RESTARTS):  # the last one may come twice
            go_on.release()
        subscription.wait_until(position, timeout=PATIENCE)
        go_on.release()
        position = store.write("left-1", Noted(0, 2)).global_position
        subscription.wait_until(position, timeout=PATIENCE)
        (partition,) = subscription.partitions()
        store.stop()
        thread.join(20)
        assert (partition.attempts, partition.failed_position) == (0, None)
        assert subscription.parked() == []
        assert deliveries > RESTARTS
