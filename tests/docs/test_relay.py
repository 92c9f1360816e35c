"""The page “Hand everything on …”: its relay followed, killed, cut off and overtaken."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from textwrap import indent

import nats
import psycopg
import pytest
from nats.js import JetStreamContext

from tests.docs.following import Followed, end, following, wait_until
from tests.docs.test_examples import GUIDES
from tests.skips import skip

NATS, STREAM, RELAY = "nats-server", "python -m relay.stream", "python -m relay.relay"
SHOW, WRITE = "python -m relay.show", "pgstore write"
COUNT = 30
WINDOW = 0.1
"""Seconds in which NATS itself recognizes a message id: shorter than any restart of the relay."""
KILL = """\
from pathlib import Path
try:
    Path("killed").touch(exist_ok=False)
    os.kill(os.getpid(), 9)
except FileExistsError:
    pass
"""
PAUSE = """\
from pathlib import Path
Path("reached").touch()
while not Path("go").exists():
    await asyncio.sleep(0.01)
"""


class Relayed:
    """The page's programs, and a look at the stream from outside."""

    def __init__(self, guide: Followed, program: str) -> None:
        self.guide = guide
        self.url = guide.environment["NATS_URL"] = f"nats://127.0.0.1:{guide.port}"
        self._program = program

    def nats(self) -> AbstractContextManager[subprocess.Popen[str]]:
        ((command, _),) = self.guide.commands(NATS)
        return self.guide.started(
            f"{command.replace(NATS, self._program)} --port {self.guide.port} 2>> nats.log"
        )

    @contextmanager
    def relay(self) -> Iterator[subprocess.Popen[str]]:
        try:
            with self.guide.running(RELAY, "2>> relay.log") as process:
                yield process
        finally:
            print((self.guide.folder / "relay.log").read_text())  # noqa: T201, pytest keeps it

    def patch(self, name: str, old: str, new: str) -> None:
        text = (self.guide.folder / name).read_text()
        assert text.count(old) == 1, (name, old)
        self.guide.write(name, text.replace(old, new))

    def make_stream(self) -> None:
        """As the page does, when the server answers."""

        async def listening() -> bool:
            async with self._stream():
                return True

        assert asyncio.run(listening())
        self.guide.run_all(STREAM)

    def on_stream(self, work: Callable[[JetStreamContext], object]) -> None:
        async def worked() -> None:
            async with self._stream() as stream:
                await work(stream)  # type: ignore[misc]

        asyncio.run(worked())

    def published(self) -> list[tuple[int, str]]:
        """Position and message id of all messages of the stream, in its order."""
        return asyncio.run(self._published())

    async def _published(self) -> list[tuple[int, str]]:
        async with self._stream() as stream:
            state = (await stream.stream_info("BANK")).state
            found = []
            for number in range(state.first_seq, state.last_seq + 1):
                message = await stream.get_msg("BANK", number)
                said = json.loads(message.data or b"")
                assert message.headers is not None
                assert message.headers["Pgstore-Position"] == str(said["position"])
                assert message.headers["Nats-Msg-Id"] == said["message_id"]
                found.append((said["position"], said["message_id"]))
            return found

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[JetStreamContext]:
        async def unheard(error: Exception) -> None: ...

        connection = await nats.connect(
            self.url, max_reconnect_attempts=600, reconnect_time_wait=0.05, error_cb=unheard
        )
        try:
            yield connection.jetstream(timeout=60)
        finally:
            await connection.close()

    def write(self, count: int = COUNT) -> None:
        with self.connect() as conn:
            conn.execute(
                "SELECT bank.write_message('account-' || n %% 3, 'Deposited',"
                " jsonb_build_object('amount', n)) FROM generate_series(1, %s) AS n",
                [count],
            )

    def stored(self) -> list[tuple[int, str]]:
        with self.connect() as conn:
            return conn.execute(
                "SELECT global_position, message_id::text FROM bank.all_messages"
                " ORDER BY global_position"
            ).fetchall()

    def partition(self) -> tuple[str, int, str | None]:
        """State, checkpoint and error of the relay's partition, when there is one."""
        with self.connect() as conn:
            found = conn.execute(
                "SELECT state, checkpoint, error FROM bank.list_partitions()"
            ).fetchone()
        return found or ("", -1, None)

    def acknowledged(self) -> bool:
        return self.partition()[1] == self.stored()[-1][0]

    def logged(self, text: str) -> bool:
        return text in (self.guide.folder / "relay.log").read_text()

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.guide.environment["PGSTORE_CONNINFO"], autocommit=True)


@pytest.fixture
def relayed(conninfo: str) -> Iterator[Relayed]:
    """The files of the page, and an empty store; a window and a lease that tests can outlast."""
    program = shutil.which(NATS, path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        skip("nats")
    with following(GUIDES / "relay.md", conninfo) as guide:
        guide.follow(until="## A warehouse", leave_out=[NATS, STREAM, RELAY, SHOW, WRITE])
        relayed = Relayed(guide, program)
        relayed.patch("relay/stream.py", "duplicate_window=120", f"duplicate_window={WINDOW}")
        relayed.patch("relay/relay.py", "store.run(relay)", "store.run(relay, lease=1)")
        assert guide.done("pgstore install --store bank").returncode == 0
        yield relayed


def test_messages_come_as_the_page_says(relayed: Relayed) -> None:
    with relayed.nats():
        relayed.make_stream()
        with relayed.relay() as relay:
            for command, said in relayed.guide.commands(WRITE)[:2]:
                relayed.guide.run(command, said)
            wait_until(relayed.acknowledged, relay)
            relayed.guide.run_all(SHOW)
            assert end(relay, signal.SIGTERM) == 0


SEND = "        return await self._stream.publish(subject(stored), body(stored), headers=headers)\n"
SENT = "            answers = await asyncio.gather(*sent)\n"


@pytest.mark.parametrize(
    ("place", "killed_there"),
    [
        (
            SEND,
            SEND.replace("return", "answer =") + indent(KILL, " " * 8) + "        return answer\n",
        ),
        (SENT, SENT + indent(KILL, " " * 12)),
    ],
    ids=["after the first answer", "after the last one"],
)
def test_a_relay_that_is_killed_before_it_acknowledges_repeats_nothing(
    relayed: Relayed, place: str, killed_there: str
) -> None:
    relayed.write()
    whole = (relayed.guide.folder / "relay/relay.py").read_text()
    relayed.patch("relay/relay.py", place, killed_there)
    with relayed.nats() as server:
        relayed.make_stream()
        with relayed.relay() as killed:
            assert killed.wait(60) == -signal.SIGKILL
        assert relayed.published()
        relayed.guide.write("relay/relay.py", whole)
        relayed.write()
        with relayed.relay() as relay:
            wait_until(relayed.acknowledged, relay)
        assert server.poll() is None
        assert relayed.published() == relayed.stored()


def test_messages_wait_while_nats_is_down(relayed: Relayed) -> None:
    with ExitStack() as programs:
        server = programs.enter_context(relayed.nats())
        relayed.make_stream()
        relay = programs.enter_context(relayed.relay())
        relayed.write()
        wait_until(relayed.acknowledged, relay)
        end(server, signal.SIGTERM)
        relayed.write()
        wait_until(lambda: relayed.logged("waiting for NATS"), relay)
        programs.enter_context(relayed.nats())
        wait_until(relayed.acknowledged, relay)
        assert relayed.published() == relayed.stored()
        assert relayed.partition()[2] is None


def test_a_relay_ends_while_nats_is_down(relayed: Relayed) -> None:
    with relayed.nats() as server:
        relayed.make_stream()
        with relayed.relay() as relay:
            relayed.write()
            wait_until(relayed.acknowledged, relay)
            end(server, signal.SIGTERM)
            relayed.write()
            wait_until(lambda: relayed.logged("waiting for NATS"), relay)
            assert end(relay, signal.SIGTERM) == 0


def test_a_relay_that_was_overtaken_adds_nothing(relayed: Relayed) -> None:
    whole = (relayed.guide.folder / "relay/relay.py").read_text()
    before = "            sent = [self._send("
    with relayed.nats():
        relayed.make_stream()
        relayed.write()
        relayed.patch("relay/relay.py", before, indent(PAUSE, " " * 12) + before)
        with relayed.relay() as slow:
            wait_until((relayed.guide.folder / "reached").exists, slow)
            slow.send_signal(signal.SIGSTOP)
            relayed.guide.write("relay/relay.py", whole)
            with relayed.relay() as relay:
                wait_until(relayed.acknowledged, relay)
            (relayed.guide.folder / "go").touch()
            slow.send_signal(signal.SIGCONT)
            wait_until(lambda: relayed.logged("wrong last sequence"), slow)
            relayed.write()
            wait_until(relayed.acknowledged, slow)
        assert relayed.published() == relayed.stored()


def test_a_stream_that_was_lost_is_filled_again(relayed: Relayed) -> None:
    with relayed.nats():
        relayed.make_stream()
        with relayed.relay() as relay:
            relayed.write()
            wait_until(relayed.acknowledged, relay)
            relayed.on_stream(lambda stream: stream.delete_stream("BANK"))
            relayed.make_stream()
            relayed.write()
            wait_until(relayed.acknowledged, relay)
        assert relayed.published() == relayed.stored()


def test_a_relay_continues_a_stream_whose_messages_have_expired(relayed: Relayed) -> None:
    with relayed.nats():
        relayed.make_stream()
        with relayed.relay() as relay:
            relayed.write()
            wait_until(relayed.acknowledged, relay)
            assert end(relay, signal.SIGTERM) == 0
        relayed.on_stream(lambda stream: stream.purge_stream("BANK"))
        relayed.write()
        with relayed.relay() as relay:
            wait_until(relayed.acknowledged, relay)
        assert relayed.published() == relayed.stored()[COUNT:]


def test_a_message_that_is_too_large_stops_the_relay(relayed: Relayed) -> None:
    with relayed.nats():
        relayed.make_stream()
        relayed.patch("relay/relay.py", "batch_size=BATCH", "batch_size=BATCH, retry_delay=0")
        relayed.write()
        with relayed.connect() as conn:
            conn.execute(
                "SELECT bank.write_message('account-1', 'Deposited',"
                " jsonb_build_object('note', repeat('x', 2000000)))"
            )
        with relayed.relay() as relay:
            wait_until(lambda: relayed.partition()[0] == "stopped", relay)
        assert "MaxPayloadError" in (relayed.partition()[2] or "")
        assert relayed.published() == relayed.stored()[:COUNT]


@pytest.mark.parametrize(("written", "said"), [(COUNT, "not in the store"), (COUNT - 1, "beyond")])
def test_a_relay_refuses_a_store_with_another_history(
    relayed: Relayed, written: int, said: str
) -> None:
    with relayed.nats():
        relayed.make_stream()
        relayed.patch("relay/relay.py", "batch_size=BATCH", "batch_size=BATCH, retry_delay=0")
        relayed.write()
        with relayed.relay() as relay:
            wait_until(relayed.acknowledged, relay)
        before = relayed.published()
        for command in ("pgstore uninstall --store bank --yes", "pgstore install --store bank"):
            done = relayed.guide.done(command)
            assert done.returncode == 0, done.stderr
        relayed.write(written)
        with relayed.relay() as relay:
            wait_until(lambda: relayed.partition()[2] is not None, relay)
        assert said in (relayed.partition()[2] or "")
        assert relayed.published() == before


def test_files_and_rows_come_as_the_page_says(relayed: Relayed) -> None:
    for command, said in relayed.guide.commands(WRITE)[:2]:
        relayed.guide.run(command, said)
    relayed.guide.environment["WAREHOUSE"] = relayed.guide.environment["PGSTORE_CONNINFO"]
    relayed.guide.follow(since="## A warehouse")
    with relayed.connect() as conn:
        assert (
            conn.execute(
                "SELECT position, message_id::text FROM bank_messages ORDER BY position"
            ).fetchall()
            == relayed.stored()
        )


def test_a_part_of_an_export_is_not_stored(relayed: Relayed) -> None:
    relayed.write()
    relayed.guide.follow(since="## A warehouse", leave_out=["pgstore", "python"])
    relayed.guide.environment["WAREHOUSE"] = relayed.guide.environment["PGSTORE_CONNINFO"]
    relayed.patch(
        "relay/warehouse.py",
        "        for line in export.stdout:",
        "        for line in list(export.stdout)[:-1]:",
    )
    assert "incomplete" in relayed.guide.done("python -m relay.warehouse").stderr
    with relayed.connect() as conn:
        assert conn.execute("SELECT to_regclass('bank_messages')").fetchall() == [(None,)]
