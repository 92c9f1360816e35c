"""`pgstore move` and `pgstore stores`, on two servers."""

import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._core.places import place_of
from pgstore.embedded import Server
from pgstore.transfer import STEPS, Move
from tests.cli.conftest import Command
from tests.cli.terminal import Terminal, run
from tests.embedded.moving import remove_left_behind

_SETTINGS = {"wal_level": "logical", "fsync": "off"}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    with Server(settings=_SETTINGS) as one, Server(settings=_SETTINGS) as other:
        yield one.conninfo, other.conninfo


def test_store_is_listed_moved_and_listed_at_its_new_place(
    servers: tuple[str, str], run_here: Command
) -> None:
    source, target = servers
    pgstore.install(source, store="bank")
    directory = ("--directory", source)
    assert run_here("stores").code == 2
    assert run_here("stores", *directory).code == 1
    assert run_here("stores", *directory, "--add", "bank", "--conninfo", source).code == 0
    (listed,) = run_here("stores", *directory, "--json").rows
    assert (listed["store"], listed["state"]) == ("bank", "open")
    assert (listed["conninfo"], listed["problem"]) == (place_of(source), None)
    assert listed["bytes"] > 0

    move = ("move", "bank", "--conninfo", source, "--to", target, *directory)
    assert run_here(*move, "--dry-run", "--abort").code == 2
    found = run_here(*move, "--dry-run", "--json")
    assert found.code == 0
    assert {row["wrong"] for row in found.rows} == {False}
    aborted = run_here(*move, "--abort")
    assert aborted.code == 1
    done = run_here(*move)
    assert done.code == 0
    assert done.err.split() == list(STEPS)
    assert run_here(*move, "--json").rows == [
        {"store": "bank", "conninfo": place_of(target), "moved": True}
    ]
    (listed,) = run_here("stores", *directory, "--json").rows
    assert listed["conninfo"] == place_of(target)
    with psycopg.connect(source) as conn, pytest.raises(pgstore.StoreMovedError):
        conn.execute("SELECT bank.last_position()")


def test_doctor_tells_a_move_that_is_under_way_from_one_that_was_cut_off(
    servers: tuple[str, str], run_here: Command
) -> None:
    source, target = servers
    pgstore.install(source, store="doctored")

    def moves(conninfo: str) -> tuple[str, str]:
        rows = run_here("doctor", "--json", "--conninfo", conninfo, "--store", "doctored").rows
        assert {"logical"} == {row["value"] for row in rows if row["name"] == "wal_level"}
        (found,) = [row for row in rows if row["name"] == "moves"]
        return found["status"], found["value"]

    def end(step: str, _: str) -> None:
        if step == "fence":
            raise InterruptedError(step)

    with Move(source, target, store="doctored", progress=end) as move:
        with pytest.raises(InterruptedError):
            move.run()
        # The target's server continues to copy.
        for conninfo in servers:
            status, value = moves(conninfo)
            assert (status, value.rpartition(":")[2]) == ("ok", " under way")
        with psycopg.connect(target, autocommit=True) as conn:
            ((name,),) = conn.execute("SELECT subname FROM pg_subscription").fetchall()
            conn.execute(f"ALTER SUBSCRIPTION {name} DISABLE".encode())
        end_of_worker = time.monotonic() + 30
        while moves(source)[0] != "warn" or moves(target)[0] != "warn":
            assert time.monotonic() < end_of_worker
        assert name in moves(source)[1]
        # As the copy of a table leaves it behind, if the target is gone for good.
        with psycopg.connect(source, autocommit=True) as conn:
            conn.execute("SELECT pg_create_logical_replication_slot('pg_1_sync_2_3', 'pgoutput')")
            assert "slot pg_1_sync_2_3" in moves(source)[1]
            conn.execute("SELECT pg_drop_replication_slot('pg_1_sync_2_3')")
        move.abort()
    assert moves(source) == ("ok", "none")


def test_store_that_does_not_answer_is_listed_with_its_problem(
    servers: tuple[str, str], run_here: Command
) -> None:
    directory = ("--directory", servers[1])
    away = "host=127.0.0.1 port=1 dbname=shop"
    assert run_here("stores", *directory, "--add", "gone", "--conninfo", away).code == 0
    (listed,) = run_here("stores", *directory, "--json").rows
    assert (listed["store"], listed["bytes"]) == ("gone", None)
    assert "refused" in listed["problem"]


@pytest.fixture
def store(servers: tuple[str, str]) -> Iterator[str]:
    """A store on the first server, which is gone from both afterwards."""
    name = "shop"
    pgstore.install(servers[0], store=name)
    yield name
    remove_left_behind(*servers)
    for server in servers:
        with psycopg.connect(server, autocommit=True) as conn:
            conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_move_that_is_ended_while_the_store_is_closed_opens_it_again(
    servers: tuple[str, str], store: str, number: signal.Signals
) -> None:
    source, target = servers
    words = ("move", store, "--conninfo", source, "--to", target)
    with (
        psycopg.connect(source) as writer,
        psycopg.connect(target) as other,
        psycopg.connect(source, autocommit=True) as conn,
        Terminal(*words, columns=120, env={}) as terminal,
    ):
        # The fence waits for this one, and then the end of the copy for the other one.
        writer.execute("LOCK TABLE shop.messages IN ROW EXCLUSIVE MODE")
        terminal.wait_for("fence")
        writer.execute("SELECT shop.write_message('note-1', 'Noted', '{}')")
        other.execute("SET session_replication_role = replica")
        other.execute("INSERT INTO shop.streams SELECT 1, 0, 'note-1', 'note', 0")
        writer.commit()
        terminal.wait_for("drain")
        with pytest.raises(pgstore.StoreMovedError):
            conn.execute("SELECT shop.write_message('note-1', 'Noted', '{}')")
        terminal.process.send_signal(number)
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text
        conn.execute("SELECT shop.write_message('note-1', 'Noted', '{}')")
        other.rollback()
    assert run(*words, env={}).returncode == 0


def test_move_that_ends_before_its_end_says_how_to_continue(
    servers: tuple[str, str], store: str, run_here: Command
) -> None:
    source, target = servers
    words = ("move", store, "--conninfo", source, "--to", target)
    # Nothing has begun.
    assert "--abort" not in run_here(*words[:-1], make_conninfo(target, dbname="none")).err
    missing = run_here("move", "shpo", *words[2:])
    assert "install" not in missing.err
    assert "no store 'shpo'" in missing.err
    with psycopg.connect(source) as writer:
        _end_at(servers, store, "fence")
        writer.execute("SELECT shop.write_message('note-1', 'Noted', '{}')")
        done = run_here(*words, "--patience", "0.2")
        assert done.code == 1
        # The hint says how to end them.
        assert f"pid {writer.info.backend_pid} ({writer.info.user})" in done.err
        assert "continues when it is run again, and --abort takes it back" in done.err
        assert "--abort" in run_here(*words, "--patience", "0.2", "--json").err
    _end_at(servers, store, "switch")
    # There is no directory.
    done = run_here(*words, "--directory", make_conninfo(target, dbname="template1"))
    assert done.code == 1
    assert f"is open at {place_of(target)}" in done.err
    assert run_here(*words).code == 0


def _end_at(servers: tuple[str, str], store: str, last: str) -> None:
    def told(step: str, detail: str) -> None:
        if step == last:
            raise InterruptedError(step)

    with Move(*servers, store=store, progress=told) as found, pytest.raises(InterruptedError):
        found.run()


def test_password_is_in_no_output(servers: tuple[str, str], store: str) -> None:
    source, target = servers
    secret = "pearl-in-an-oyster"
    words = ("move", store, "--conninfo", source, "--to", f"{target}&password={secret}", "--debug")
    wrong = f"host=/nowhere user=postgres dbname=postgres password={secret}"
    done = run(*words, "--replicate-from", wrong, env={})
    assert done.returncode == 1
    assert "--replicate-from" in done.stderr
    moved = run(*words, "--replicate-from", f"{source}&password={secret}", env={})
    assert moved.returncode == 0
    assert secret not in done.stdout + done.stderr + moved.stdout + moved.stderr
