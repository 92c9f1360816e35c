"""A store moves under load; the program that moves it is killed; the target fails over."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import Directory
from pgstore.transfer import STEPS
from tests.embedded.moving import EFFECTS, SETTINGS, STORE, Load, effects, left_behind, rows
from tests.faults.counts import Counts, Rounds
from tests.faults.promotion import make_standby, promote, wait_for
from tests.faults.servers import Durable, temporary_folder, version_of
from tests.other_version import OtherVersion, version

# Durable, as all servers that faults are tried on.
_SETTINGS = {name: value for name, value in SETTINGS.items() if name != "fsync"}
_PATIENCE = 120.0
_FILL = """
SELECT bank.write_arrays(%s, array_agg('Old'::text), array_agg(jsonb_build_object('number', n)))
FROM generate_series(1, 100) AS n
"""


def move(server: Durable, rounds: Rounds) -> Counts:
    """Move the store to the other one of two servers."""
    return _to_and_fro(server, rounds)


def move_large(server: Durable, rounds: Rounds) -> Counts:
    """Move a store of 300,000 older messages to the other one of two servers."""
    return _to_and_fro(server, rounds, older=300_000)


def move_versions(server: Durable, rounds: Rounds) -> Counts:
    """Move the store to a server of another version of PostgreSQL, to and fro."""
    return _to_and_fro(server, rounds, other=OtherDurable)


def _to_and_fro(
    server: Durable, rounds: Rounds, *, other: type[Durable] = Durable, older: int = 0
) -> Counts:
    with _two_servers(other) as (source, target), _moving(server, source, older) as moving:
        for _ in rounds:
            moving.load.goes_on()
            moving.to(target.conninfo)
            source, target = target, source
        return moving.finish()


def move_killed(server: Durable, rounds: Rounds) -> Counts:
    """Kill `pgstore move` in one of its steps; then let it continue, or take the move back."""
    with _two_servers() as (source, target), _moving(server, source) as moving:
        for number in rounds:
            moving.load.goes_on(5)
            # Each step in its turn; those in which the store is closed come early.
            moving.kill(target.conninfo, STEPS[(number * 5 + 4) % len(STEPS)])
            if number // 2 % 2 and moving.take_back(target.conninfo):
                continue
            moving.to(target.conninfo)
            source, target = target, source
        return moving.finish()


def move_failover(server: Durable, rounds: Rounds) -> Counts:
    """Kill the target while a store moves there, and promote its synchronous standby."""
    with temporary_folder() as folder, _started(folder / "source") as source:
        with _moving(server, source) as moving:
            for number in rounds:
                # The store is closed; its tables are copied; it is open at the target.
                step = ("drain", "copy", "switch")[number % 3]
                source = _fail_over(moving, source, folder / f"target{number}", step)
            counts = moving.finish()
        source.stop()
        return counts


def _fail_over(moving: "Moving", source: Durable, folder: Path, step: str) -> Durable:
    """Move the store to a pair of servers, of which one takes over meanwhile; the new place."""
    folder.mkdir(mode=0o711)
    target, standby = (Durable(folder / name, **_SETTINGS) for name in ("a", "b"))
    try:
        target.start()
        make_standby(target, standby)
        _create_effects(target.conninfo)
        both = make_conninfo(
            target.conninfo,
            host=f"{target.folder / 'socket'},{standby.folder / 'socket'}",
            port="5432,5432",
            target_session_attrs="read-write",
        )
        moving.load.goes_on()
        moving.kill(both, step, target.crash)
        _promote(standby)
        moving.to(both)
        moving.forget(source)
        return standby
    except BaseException:
        standby.stop()
        raise
    finally:
        target.stop()


def _promote(standby: Durable) -> None:
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        is_open = conn.execute("SELECT to_regnamespace('bank') IS NOT NULL").fetchone() == (
            True,
        ) and not rows(standby.conninfo, "SELECT FROM bank.fence_of_store()")
        if is_open:
            promote(standby, STORE)
        else:
            wait_for(conn, "SELECT pg_promote(false) OR NOT pg_is_in_recovery()")
            wait_for(conn, "SELECT NOT pg_is_in_recovery()")
            conn.execute("ALTER SYSTEM RESET synchronous_standby_names")
            conn.execute("SELECT pg_reload_conf()")


class OtherDurable(OtherVersion, Durable):
    """A server of the other version."""


def both_versions(server: Durable) -> str:
    return f"{version_of(server)}, {version()}"


class Moving:
    """A store that moves, the programs that use it, and what became of their messages."""

    def __init__(self, load: Load, source: str, directory: str) -> None:
        self.load = load
        self._place = source  # of the store
        self._places = [source]
        self._directory = directory
        self._counts = Counts()
        self._effects: list[int] = []

    def to(self, target: str) -> None:
        """Move it, or continue: again where something has to be taken back, or is not there yet."""
        end = time.monotonic() + _PATIENCE
        while True:
            done = self._run(target)
            if done.returncode == 0:
                break
            assert time.monotonic() < end, done.stderr
            if "abort the move" in done.stderr:
                self.take_back(target)
            time.sleep(0.2)
        former, self._place = self._place, target
        if target not in self._places:
            self._places.append(target)
        assert left_behind(former) == left_behind(target) == []
        assert rows(target, "SELECT FROM bank.fence_of_store()") == []
        assert len(rows(former, "SELECT FROM bank.fence_of_store()")) == 1
        self._note("moves")

    def take_back(self, target: str) -> bool:
        """Take a move back; False if there was none, or the store was open there already."""
        done = self._run(target, "--abort")
        if done.returncode != 0:
            assert done.returncode == 1, done.stderr
            return False
        assert left_behind(self._place) == left_behind(target) == []
        assert rows(self._place, "SELECT FROM bank.fence_of_store()") == []
        assert rows(target, "SELECT FROM pg_namespace WHERE nspname = 'bank'") == []
        self._note("taken back")
        return True

    def kill(self, target: str, step: str, *others: object) -> None:
        """Begin to move it, and kill the program when it says a step, or soon after."""
        with subprocess.Popen(
            self._command(target), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stderr is not None
            said = []
            for line in program.stderr:
                said.append(line)
                if line.split(":")[0].strip() == step:
                    break
            else:
                raise AssertionError(said)
            time.sleep(random.choice((0.0, random.uniform(0, 0.2))))
            for other in others:
                assert callable(other)
                other()
            program.kill()
        self._note("movers killed")

    def forget(self, server: Durable) -> None:
        """Give up all former places, which that server was."""
        self._effects += effects(server.conninfo)
        self._places = [self._place]
        server.stop()
        shutil.rmtree(server.folder)

    def finish(self) -> Counts:
        """End the programs, and count."""
        self.load.settle()
        counts = self._counts
        stored = rows(
            self._place,
            "SELECT global_position, (data ->> 'number')::bigint FROM bank.all_messages"
            f" WHERE global_position > {self.load.after} ORDER BY 1",
        )
        older = f"SELECT count(*) FROM bank.messages WHERE global_position <= {self.load.after}"
        counts.lost += self.load.after - int(rows(self._place, older)[0][0])
        check(counts, self.load, [(position, number) for position, number in stored])
        inside = self._effects + [each for place in self._places for each in effects(place)]
        numbers = Counter(number for _, number in stored)
        for found in (inside, effects(self._directory)):
            counts.unprojected += sum(
                ((numbers - Counter(found)) + (Counter(found) - numbers)).values()
            )
        counts.parked += len(
            rows(self._place, "SELECT FROM bank.list_partitions() WHERE attempts > 0")
        )
        counts.slowest = round(self.load.stall, 2)
        counts.noted["milliseconds of the longest stall"] = round(1000 * self.load.stall)
        return counts

    def _note(self, what: str) -> None:
        self._counts.noted[what] = self._counts.noted.get(what, 0) + 1

    def _run(self, target: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._command(target), *options], capture_output=True, text=True, timeout=_PATIENCE
        )

    def _command(self, target: str) -> list[str]:
        words = ["move", STORE, "--conninfo", self._place, "--to", target]
        options = ["--directory", self._directory, "--replace-closed"]
        return [sys.executable, "-m", "pgstore", *words, *options]


def check(counts: Counts, load: Load, stored: list[tuple[int, int]]) -> None:
    """Compare what the writers were told and the follower has seen with what is stored."""
    numbers = Counter(number for _, number in stored)
    written = set(load.written)
    counts.acknowledged += len(written)
    counts.lost += len(written - numbers.keys())
    counts.doubled += numbers.total() - len(written & numbers.keys())
    positions, seen = {position for position, _ in stored}, Counter(load.followed)
    counts.skipped += len(positions - seen.keys())
    counts.repeated += seen.total() - len(seen)
    counts.vanished += len(seen.keys() - positions)
    counts.reordered += sum(one > next_one for one, next_one in pairwise(load.followed))


def _create_effects(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(EFFECTS.encode())


@contextmanager
def _started(folder: Path, kind: type[Durable] = Durable) -> Iterator[Durable]:
    server = kind(folder, **_SETTINGS)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _two_servers(kind: type[Durable] = Durable) -> Iterator[tuple[Durable, Durable]]:
    with (
        temporary_folder() as folder,
        _started(folder / "one") as one,
        _started(folder / "other", kind) as other,
    ):
        _create_effects(other.conninfo)
        yield one, other


@contextmanager
def _moving(server: Durable, source: Durable, older: int = 0) -> Iterator[Moving]:
    """A store on a server, whose directory and whose effects are on another one."""
    name = f"places_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
        elsewhere = make_conninfo(server.conninfo, dbname=name)
        try:
            for each in (source.conninfo, elsewhere):
                _create_effects(each)
            pgstore.install(source.conninfo, store=STORE)
            with psycopg.connect(source.conninfo, autocommit=True) as filling:
                filling.execute("SET synchronous_commit = off")
                for number in range(older // 100):
                    filling.execute(_FILL, [f"old-{number}"])
            directory = Directory(elsewhere)
            directory.install()
            directory.put(STORE, source.conninfo)
            with Load(directory, elsewhere, older) as load:
                yield Moving(load, source.conninfo, elsewhere)
        finally:
            with suppress(psycopg.Error):
                conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
