"""Ctrl-C, and readers that go away, in commands that take long."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgstore
from pgstore.cli._call import Call, Settings
from pgstore.transfer._store import closed_if_interrupted
from tests.cli.terminal import PROGRAM, Terminal, clean

Store = pgstore.MessageStore[pgstore.RawMessage]
Environment = dict[str, str]

NOTE = b'{"note": "%s"}' % (b"a long story " * 30)

SLOW = {
    "threads": """
import os, time, pgstore

store = pgstore.MessageStore({conninfo!r}, store={name!r}, messages=pgstore.RawMessage).raw
slow = store.subscription("slow", category="account", partitions=4)


@slow.handler
def handle(stored: pgstore.StoredMessage[pgstore.RawMessage]) -> None:
    os.write(1, b"handling\\n")  # at once: threads that print would mix
    time.sleep(60)
""",
    "tasks": """
import asyncio, os, pgstore

store = pgstore.AsyncMessageStore({conninfo!r}, store={name!r}, messages=pgstore.RawMessage).raw
slow = store.subscription("slow", category="account", partitions=4)


@slow.handler
async def handle(stored: pgstore.StoredMessage[pgstore.RawMessage]) -> None:
    os.write(1, b"handling\\n")
    await asyncio.sleep(60)
""",
}


@pytest.fixture
def long(store: Store) -> Store:
    """A store that takes an export a while."""
    for number in range(10):
        store.write_many(f"long-{number}", [pgstore.RawMessage("T", NOTE)] * 3000)
    return store


@pytest.mark.parametrize("kind", SLOW)
def test_a_second_ctrl_c_does_not_wait_for_handlers(
    kind: str, store: Store, conninfo: str, schema: str, environment: Environment, tmp_path: Path
) -> None:
    for number in range(20):  # in several partitions
        store.write(f"account-{number}", pgstore.RawMessage("T", b"{}"))
    (tmp_path / "bank.py").write_text(SLOW[kind].format(conninfo=conninfo, name=schema))
    process = subprocess.Popen(
        [*PROGRAM, "run", "bank:slow", "--workers", "3"],
        env=clean(environment) | {"PYTHONPATH": str(Path.cwd())},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "handling\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)  # it finishes what it has in hand
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_ctrl_c_during_an_export_is_quiet_and_leaves_no_file(
    long: Store, environment: Environment, tmp_path: Path
) -> None:
    with Terminal(
        "export", str(tmp_path / "all.jsonl.gz"), columns=80, env=environment
    ) as terminal:
        terminal.wait_for("0000 messages")
        assert terminal.interrupt() == 130
    assert "%" in terminal.text
    assert "error" not in terminal.text
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_between_sending_and_waiting_is_quiet_too(
    conninfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(conn: psycopg.Connection[Any]) -> None:
        conn.pgconn.send_query(b"SELECT pg_sleep(10)")
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        Call(Settings(conninfo=conninfo)).connect(check=False) as session,
    ):
        interrupted(session.conn)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        with pytest.raises(KeyboardInterrupt), closed_if_interrupted(conn):
            interrupted(conn)
        assert conn.closed
    assert caplog.records == []


def test_an_export_into_a_pipe_ends_silently_with_its_reader(
    long: Store, environment: Environment
) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "export", "-"],
        env=clean(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
