"""What a process costs that has nothing to do."""

import re
import shutil
import threading
import time
from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore.embedded import Server, account
from tests.stress.messages import Noted

SUBSCRIPTIONS = 20
FOLLOWERS = 5
SETTLE = 3.0
SECONDS = 12.0  # with the runner's look at its lag in it


@pytest.fixture
def server() -> Iterator[Server]:
    settings = {"fsync": "off", "log_statement": "all", "log_line_prefix": "<%a> "}
    folder = account.temporary_folder()
    try:
        with Server(folder / "server", settings=settings) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def test_idle_process_runs_at_most_one_query_a_second(server: Server) -> None:
    conninfo = make_conninfo(server.conninfo, application_name="idle")
    with pgstore.MessageStore(conninfo, store="idle", messages=Noted) as store:
        written = store.write("left-1", Noted(0, 0)).global_position
        many = [store.subscription(f"subscription {n}", partitions=8) for n in range(SUBSCRIPTIONS)]
        for each in many:
            each.handler(handle)
        followers = [store.follow(after_position=written) for _ in range(FOLLOWERS)]
        threads = [threading.Thread(target=lambda: store.run(*many, workers=4))]
        threads += [threading.Thread(target=list, args=(each,)) for each in followers]
        for thread in threads:
            thread.start()
        for each in many:
            each.wait_until(written)
        time.sleep(SETTLE)

        before = queries(server)
        time.sleep(SECONDS)
        found = queries(server)[len(before) :]

        for follower in followers:
            follower.stop()
        store.stop()
        for thread in threads:
            thread.join(20)
    assert 0 < len(found) <= SECONDS, found
    # The claim asks for the next retry in the same statement.
    claims = [each for each in found if "claim_batch" in each or "next_claim" in each]
    assert 0 < len(claims) <= SECONDS / 2 + 1, claims


def handle(message: Noted) -> None:
    """Nothing."""


def queries(server: Server) -> list[str]:
    """The statements that the process has run, from the server's log."""
    log = (server.folder / "server.log").read_text()
    return re.findall(r"^<idle> LOG:  (?:statement|execute [^:]*): (.*)$", log, re.MULTILINE)
