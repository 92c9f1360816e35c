"""Ten restarts of the server under workers: no message is to blame, so none is parked."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from pgstore import MessageStore, _unprivileged
from pgstore.embedded import Server
from tests.stress.messages import Noted

RESTARTS = 10


@pytest.fixture
def server() -> Iterator[Server]:
    folder = _unprivileged.temporary_folder()
    try:
        with Server(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder)


def crash(server: Server) -> None:
    """End the server as a failover does: at once, with its last transactions undone."""
    pid = int((Path(server.folder) / "data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    while (Path(server.folder) / "data/postmaster.pid").exists():
        time.sleep(0.01)


@pytest.mark.parametrize("at_once", [True, False])
def test_ten_restarts_of_the_server_park_nothing(server: Server, at_once: bool) -> None:
    with MessageStore(server.dsn, name="restarted", messages=Noted) as store:
        # One attempt only, and one message in hand: the first that is counted is parked.
        subscription = store.subscription(
            "single", on_failure="park", max_attempts=1, batch_size=1, partitions=2
        )
        handled: list[int] = []

        @subscription.handler
        def note(message: Noted, tx: psycopg.Connection[TupleRow]) -> None:
            time.sleep(0.02)
            tx.execute("SELECT 1")
            handled.append(message.number)

        store.write_many("left-1", [Noted(0, number) for number in range(300)])
        store.write_many("left-2", [Noted(0, number) for number in range(300, 600)])
        thread = threading.Thread(target=lambda: store.run(subscription, workers=2, lease=1.0))
        thread.start()
        for _ in range(RESTARTS):
            before = len(handled)
            while len(handled) < min(before + 5, 600):
                time.sleep(0.005)
            if at_once:
                crash(server)
            server.stop()  # or, after a crash, what is left of it
            server.start()
        subscription.wait_until(store.safe_position(), timeout=60)
        store.stop()
        thread.join(20)
        assert set(handled) == set(range(600))
        assert subscription.parked() == []
