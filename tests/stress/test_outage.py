"""How long after an outage of a real server a writer, a worker and a follower are back.

PGSTORE_TEST_OUTAGES   seconds of the outages, "2" unless given; try "2 8 20 90"
"""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from psycopg_pool import PoolTimeout

from pgstore import MessageStore
from pgstore.embedded import Server, account

OUTAGES = [float(each) for each in os.environ.get("PGSTORE_TEST_OUTAGES", "2").split()]
_PATIENCE = 30.0


class Noted(msgspec.Struct):
    number: int


@pytest.fixture
def server() -> Iterator[Server]:
    folder = account.temporary_folder()
    try:
        with Server(folder / "server", settings={"fsync": "off"}) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def write(store: MessageStore[Noted], number: int) -> None:
    while True:
        try:
            store.write("note-1", Noted(number))
            return
        except PoolTimeout:  # after 30 seconds
            pass


@pytest.mark.alone
@pytest.mark.parametrize("seconds", OUTAGES)
def test_all_are_back_within_a_second(
    server: Server, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    followed: list[int] = []
    handled: list[int] = []
    with MessageStore[Noted](server.conninfo, messages=Noted) as store:
        subscription = store.subscription("notes", category="note")

        @subscription.handler
        def note(message: Noted) -> None:
            handled.append(message.number)

        follower = store.follow(category="note")
        threads = [
            threading.Thread(target=lambda: store.run(subscription)),
            threading.Thread(target=lambda: followed.extend(s.message.number for s in follower)),
        ]
        for thread in threads:
            thread.start()
        write(store, 1)
        until(lambda: followed == handled == [1])
        server.stop()
        writer = threading.Thread(target=write, args=(store, 2))
        writer.start()
        time.sleep(seconds)
        server.start()
        start = time.monotonic()
        writer.join(_PATIENCE)
        assert time.monotonic() - start < 1
        until(lambda: set(followed) == set(handled) == {1, 2})
        assert time.monotonic() - start < 1.5
        until(lambda: any("works again" in text for text in caplog.messages))
        took = f"{time.monotonic() - start:.2f} s after an outage of {seconds:g} s"
        logging.getLogger("tests").warning("back %s", took)
        store.stop()
        follower.stop()
        for thread in threads:
            thread.join(_PATIENCE)
    told = [each for each in caplog.records if each.name == "pgstore"]
    assert len(told) == 2
