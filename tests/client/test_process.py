"""Stores in processes of their own: a server that restarts, and programs that do not close."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgstore import AsyncMessageStore, MessageStore, embedded
from pgstore.embedded import account
from tests.client.messages import EventA

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import asyncio, sys
import pgstore
from tests.client.messages import EventA

conninfo, name, stream, kind = sys.argv[1:]
if kind == "sync":
    store = pgstore.MessageStore[EventA](conninfo, store=name, messages=EventA)
    store.write(stream, EventA(1))
    print("written")
else:
    for _ in range(5):  # at once after the first use, nothing may be left half done
        store = pgstore.AsyncMessageStore[EventA](conninfo, store=name, messages=EventA)
        asyncio.run(store.write(stream, EventA(1)))
    print("written")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of a server can reach, also when root starts it."""
    folder = account.temporary_folder()
    yield folder / "server"
    shutil.rmtree(folder)


def test_stores_survive_a_restart_of_the_server(folder: Path) -> None:
    server = embedded.Server(folder)
    server.start()
    sync = MessageStore[EventA](server.conninfo, messages=EventA)
    try:
        with asyncio.Runner() as runner:
            store = AsyncMessageStore[EventA](server.conninfo, messages=EventA)
            assert sync.write("s-1", EventA(1)).version == 1
            assert runner.run(store.write("s-1", EventA(2))).version == 2
            server.stop()
            server.start()
            assert sync.write("s-1", EventA(3)).version == 3
            assert runner.run(store.write("s-1", EventA(4))).version == 4
            assert [stored.message.num for stored in sync.read("s-1")] == [1, 2, 3, 4]
            runner.run(store.aclose())
    finally:
        sync.close()
        server.stop()
    with pytest.raises(psycopg.OperationalError):
        sync.write("s-1", EventA(5))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_program_that_does_not_close_its_store_ends_quietly(
    conninfo: str, shared: str, stream: str, kind: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, conninfo, shared, stream, kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "written\n", "")


FORKED = """
import os, sys, time
import msgspec, pgstore

class EventA(msgspec.Struct):
    num: int

conninfo, name, stream, grouped = sys.argv[1:]
store = pgstore.MessageStore[EventA](
    conninfo, store=name, messages=EventA, group_writes=grouped == "grouped"
)
store.write(stream, EventA(1))
if grouped == "grouped":  # the child's copy of a store whose other threads write
    sending = store._grouping._groups._sending
    sending.update({1: float("inf"), 2: float("inf")})
if os.fork() == 0:
    start = time.monotonic()
    try:
        store.write(stream, EventA(2))
    except pgstore.PgstoreError:
        os._exit(7 if time.monotonic() - start < 20 else 8)
    os._exit(0)
if grouped == "grouped":
    sending.clear()
print(os.waitstatus_to_exitcode(os.wait()[1]), store.write(stream, EventA(3)).version)
"""


@pytest.mark.parametrize("grouped", ["single", "grouped"])
def test_store_used_before_a_fork_is_refused_in_the_child(
    conninfo: str, schema: str, grouped: str
) -> None:
    """It would share its connections with the parent, and either could read the other's answer."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED, conninfo, schema, "s", grouped],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "7 2\n"), done.stderr


FAILING = """
import asyncio, sys
from psycopg_pool import AsyncConnectionPool
import pgstore
from tests.client.messages import EventA

async def main(conninfo, name, stream, kind, opened):
    source = conninfo
    if kind == "the caller's pool":
        source = AsyncConnectionPool(conninfo, min_size=1, max_size=10, open=False)
        await source.open(wait=True)
    store = pgstore.AsyncMessageStore[EventA](source, store=name, messages=EventA)
    if opened == "opened":
        await store.write(stream, EventA(1))
    writes = [asyncio.create_task(store.write(f"{stream}{n}", EventA(n))) for n in range(10)]
    await asyncio.sleep(0.005 if opened == "opening" else 0)
    while opened == "opened" and store._database.source._pool.get_stats()["connections_num"] < 2:
        await asyncio.sleep(0)
    raise SystemExit(3)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("opened", ["opened", "opening"])
@pytest.mark.parametrize("kind", ["own pool", "the caller's pool"])
def test_a_program_that_fails_while_the_pool_grows_ends(
    conninfo: str, shared: str, stream: str, kind: str, opened: str
) -> None:
    """A worker of psycopg_pool that is cancelled while it connects goes on as if nothing were."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FAILING, conninfo, shared, stream, kind, opened],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The pool's logger tells of the connections that it could not make.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("error connecting")]
    assert (done.returncode, done.stdout, lines) == (3, "", [])
