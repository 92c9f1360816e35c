"""What workloads work with: servers, databases, agents, pgbench, and the figures they fill."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from benchmarks.agents import Agent, TaskFailed, TimedOut
from benchmarks.contenders import named
from benchmarks.contenders.contract import Contender
from benchmarks.environment import Environments
from benchmarks.figures import Figure, base
from benchmarks.flush import slow_flushes
from benchmarks.server import Server
from benchmarks.sizes import Sizes
from pgstore import embedded

PEERS_PATIENCE = 90.0
"""Seconds after which a peer that gives no answer is ended, and left out of the workload."""
QUERY_PATIENCE = "900s"
LOCK_PATIENCE = "30s"
PGBENCH_PATIENCE = 60.0


class Database:
    """A database with one contender's tables, empty at first."""

    def __init__(self, bench: "Bench", contender: Contender, conninfo: str) -> None:
        self.bench = bench
        self.contender = contender
        self.conninfo = conninfo
        self.written = 0
        self._agent: Agent | None = None

    @property
    def agent(self) -> Agent:
        """An agent for tasks that run one after the other."""
        if self._agent is None:
            self._agent = self.another_agent()
        return self._agent

    def another_agent(self) -> Agent:
        return self.bench.agent(self.contender, self.conninfo)

    def value(self, query: str, *parameters: object) -> float:
        with self._connection() as conn:
            row = conn.execute(query.encode(), parameters or None).fetchone()
            return float(row[0]) if row else 0.0

    def execute(self, query: str) -> None:
        with self._connection() as conn:
            conn.execute(query.encode())

    def _connection(self) -> psycopg.Connection[TupleRow]:
        conn = psycopg.connect(self.conninfo, autocommit=True)
        conn.execute(f"SET statement_timeout = '{QUERY_PATIENCE}'")
        conn.execute(f"SET lock_timeout = '{LOCK_PATIENCE}'")
        return conn

    def settle(self) -> None:
        """Bring statistics and the visibility map up to date, and have nothing left to flush."""
        if self.bench.sizes.settles:
            self.execute("VACUUM ANALYZE")
            self.execute("CHECKPOINT")

    def verify(self, stored: int, references: list[str]) -> None:
        """Raise unless so many more messages are stored since the last time, with these ones."""
        self.written += stored
        if not self.contender.count:
            return
        found = int(self.value(self.contender.count))
        if found != self.written:
            raise TaskFailed(f"{self.contender.name}: {found} stored of {self.written} written")
        for reference in references:
            if self.value(self.contender.find, reference) < 1:
                raise TaskFailed(f"{self.contender.name}: {reference} is not stored")

    def pgbench(self, script: str, clients: int, seconds: float, *, writes: bool = True) -> float:
        """Transactions a second, after a second to warm up; all are verified to be stored.

        Every run has new connections, whose first transactions take many times as long: a server
        process has to read the catalog, and to plan what functions do.
        """
        name = self.contender.name
        with TemporaryDirectory() as folder:
            path = Path(folder) / "script"
            path.write_text(script)
            command = [
                str(self.bench.bin / "pgbench"),
                *("-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2))),
                *how_long(clients, seconds),
                *("-f", str(path), self.conninfo),
            ]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=seconds + PGBENCH_PATIENCE
                )
            except subprocess.TimeoutExpired:
                raise TimedOut(f"{name}: pgbench does not end") from None
        counted = re.search(r"actually processed: (\d+)", done.stdout)
        rate = rate_of(done.stdout, done.stderr)
        if done.returncode or counted is None or rate is None:
            raise TaskFailed(f"{name}: pgbench: {done.stderr.strip()[-300:]}")
        if writes:
            self.verify(int(counted.group(1)), [])
        return rate

    def recover(self) -> None:
        """After a failure, have a new agent for the next task, and count what is stored."""
        if self._agent is not None:
            self._agent.end()
            self._agent = None
        if self.contender.count:
            with suppress(psycopg.Error):
                self.written = int(self.value(self.contender.count))

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()


class Bench:
    """A run: its contenders, its sizes, and the figures so far."""

    def __init__(self, sizes: Sizes, contenders: list[str], environments: Environments) -> None:
        self.sizes = sizes
        self.environments = environments
        self.contenders = [named(name) for name in contenders]
        self.figures: list[Figure] = []
        self.missing: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.workload = ""
        self._hung: dict[str, str] = {}
        self._opened = ExitStack()
        self._server: Server | None = None
        self._slow_server: Server | None = None
        self._templates: dict[tuple[str, str], str] = {}
        self._count = 0

    def begin(self, workload: str) -> None:
        """Begin a workload: who hung in the last one may try again."""
        self.workload = workload
        self._hung.clear()

    def agent(self, contender: Contender, conninfo: str) -> Agent:
        """Start a process for a contender's clients."""
        patience = {"patience": PEERS_PATIENCE} if contender.is_peer else {}
        return Agent(contender.name, self.environments.command(contender), conninfo, **patience)

    def prepare(self) -> None:
        """Make the environments; peers that cannot have theirs are missing."""
        for contender in self.contenders:
            try:
                self.environments.prepare(contender)
            except TaskFailed as error:
                self.workload = "installation"
                self.fail(contender.name, error)

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = self._opened.enter_context(Server())
        return self._server

    @property
    def bin(self) -> Path:
        return embedded.Server().bin

    def close(self) -> None:
        self._opened.close()

    @property
    def slow_server(self) -> Server:
        """The server whose disk takes 1 ms for a flush."""
        if self._slow_server is None:
            with slow_flushes(milliseconds=1):
                self._slow_server = self._opened.enter_context(Server())
        return self._slow_server

    @contextmanager
    def another_server(self, **settings: str) -> Iterator[Server]:
        """Give a server with other settings."""
        with Server(**settings) as server:
            key = server_key(server)
            yield server
        self._templates = {k: v for k, v in self._templates.items() if k[0] != key}

    def offered(self, workload: str) -> list[Contender]:
        """The contenders that can be run and take part in a workload."""
        return [
            contender
            for contender in self.contenders
            if contender.name not in self.missing
            and contender.available
            and workload not in contender.lacks
            and (not contender.only or workload in contender.only)
            and (
                not contender.is_peer or not self.sizes.peers_in or workload in self.sizes.peers_in
            )
        ]

    @contextmanager
    def databases(
        self, contenders: list[Contender], server: Server | None = None, *, tcp: bool = False
    ) -> Iterator[dict[str, Database]]:
        """Give a new database to each; those that cannot have one are missing from now on.

        Clients reach it through the Unix socket, or over TCP.
        """
        chosen = server or self.server
        made: dict[str, Database] = {}
        try:
            for contender in contenders:
                try:
                    made[contender.name] = self._database(contender, chosen, tcp)
                except (TaskFailed, psycopg.Error) as error:
                    self.fail(contender.name, error)
            yield dict(made)
        finally:
            for database in made.values():
                database.close()
            with psycopg.connect(chosen.conninfo, autocommit=True) as conn:
                for database in made.values():
                    name = sql.Identifier(str(conninfo_to_dict(database.conninfo)["dbname"]))
                    conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
                conn.execute("CHECKPOINT")

    @contextmanager
    def several(
        self, contenders: list[Contender], count: int
    ) -> Iterator[dict[str, list[Database]]]:
        """Give several new databases to each."""
        with ExitStack() as opened:
            turns = [opened.enter_context(self.databases(contenders)) for _ in range(count)]
            yield {each.name: [turn[each.name] for turn in turns] for each in contenders}

    def _database(self, contender: Contender, server: Server, tcp: bool) -> Database:
        self._count += 1
        key, name = (server_key(server), contender.name), f"{contender.name}_{self._count}"
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            if key not in self._templates:
                template = f"{contender.name}_template"
                conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template)))
                conninfo = conninfo_of(server, contender, template)
                with self.agent(contender, conninfo) as agent:
                    agent.run("install")
                self._templates[key] = template
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(self._templates[key])
                )
            )
        if tcp:
            return Database(self, contender, server.over_tcp(name, contender.options))
        return Database(self, contender, conninfo_of(server, contender, name))

    def fail(self, name: str, error: Exception) -> None:
        """Note that a contender cannot be measured; pgstore and the limit must be."""
        if not named(name).is_peer:
            raise error
        self.missing[name] = f"{self.workload}: {error}"
        print(f"  {name} is left out from now on: {error}", file=sys.stderr, flush=True)

    def each(self, databases: dict[str, Database], work: Callable[[Database], object]) -> None:
        """Prepare every database; a peer that fails is left out of the workload."""
        for name, database in list(databases.items()):
            try:
                work(database)
            except (TaskFailed, psycopg.Error) as error:
                if not database.contender.is_peer:
                    raise
                self.failures[f"{self.workload}/{name}"] = str(error)
                print(f"  {name} is left out: {error}", file=sys.stderr, flush=True)
                database.recover()
                databases.pop(name)

    def measure(
        self,
        key: str,
        title: str,
        unit: str,
        work: Mapping[str, Callable[[], float | None]],
        *,
        on: Mapping[str, Database] | None = None,
        better: Literal["higher", "lower"] = "higher",
        rounds: int | None = None,
        limit: str | None = "raw",
    ) -> Figure:
        """Measure contenders in interleaved rounds, one value a round.

        Each round has an order of its own, and `on` names the databases that are settled before
        each value: nobody is always measured after the same neighbour, or with what a neighbour
        left to be flushed. A peer that fails is left out of the rest of this figure, one that hangs
        out of the rest of the workload; a note says why.
        """
        figure = Figure(
            key=key, workload=self.workload, title=title, unit=unit, better=better, limit=limit
        )
        on = on or {}
        failed = {name: self._hung[base(name)] for name in work if base(name) in self._hung}
        for turn in range(rounds or self.sizes.rounds):
            figure.loads.append(round(os.getloadavg()[0], 1))
            for name in shuffled(list(work), f"{key} {turn}"):
                if name in failed:
                    continue
                database = on.get(name) or on.get(base(name))
                try:
                    if database is not None:
                        database.settle()
                    value = work[name]()
                except (TaskFailed, psycopg.Error) as error:
                    if not named(base(name)).is_peer:
                        raise
                    failed[name] = str(error)
                    if isinstance(error, TimedOut):
                        self._hung[base(name)] = str(error)
                    if database is not None:
                        database.recover()
                    continue
                if value is not None:
                    figure.add(name, value)
        figure.rounds = {name: figure.rounds[name] for name in work if name in figure.rounds}
        figure.notes |= {name: f"failed: {reason}" for name, reason in failed.items()}
        self.add(figure)
        return figure

    def add(self, figure: Figure) -> None:
        """Keep a figure, and print it."""
        figure.finish()
        self.figures.append(figure)
        print(f"  {figure.title}, {figure.unit}", flush=True)
        for name, median in figure.medians.items():
            share = figure.of_limit.get(name)
            ratio = "" if share is None else f"  {share:.2f} of the limit"
            print(f"    {name:<22} {median:>14,.5g}{ratio}", flush=True)
        for name, note in figure.notes.items():
            print(f"    {name}: {note}", flush=True)


def shuffled(names: list[str], seed: str) -> list[str]:
    """The names in an order that is the same in every run."""
    random.Random(seed).shuffle(names)
    return names


def how_long(clients: int, seconds: float) -> tuple[str, ...]:
    """pgbench's options: it measures whole seconds; less is given to it as transactions."""
    if seconds < 1:
        return "-t", str(max(1, round(500 * seconds / clients)))
    return "-T", str(round(seconds) + 1), "-P", "1"


def rate_of(stdout: str, stderr: str) -> float | None:
    """Transactions a second after pgbench's first report of its progress, if there is one."""
    count = re.search(r"actually processed: (\d+)", stdout)
    rate = re.search(r"tps = ([\d.]+)", stdout)
    if count is None or rate is None:
        return None
    first = re.search(r"progress: ([\d.]+) s, ([\d.]+) tps", stderr)
    if first is None:
        return float(rate[1])
    seconds, before = float(first[1]), float(first[1]) * float(first[2])
    left = int(count[1]) / float(rate[1]) - seconds
    return (int(count[1]) - before) / left if left > 0 else float(rate[1])


def conninfo_of(server: Server, contender: Contender, dbname: str) -> str:
    if contender.options:
        return make_conninfo(server.conninfo, dbname=dbname, options=contender.options)
    return make_conninfo(server.conninfo, dbname=dbname)


def server_key(server: Server) -> str:
    return str(server.folder)
