"""Measure what tags and conditional appends cost: `python -m benchmarks.conditions`.

`--before PATH` compares with the store of another checkout, which has a package `pgstore` and `sql`
in it. `python -m benchmarks.report` writes the tables of docs/performance.md.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.agents import ROOT, Agent, TaskFailed
from benchmarks.bench import shuffled
from benchmarks.conditions import filling
from benchmarks.conditions.tables import RESULTS, conditions_tables, key_of, pair_key
from benchmarks.conditions.umadb_server import umadb_server
from benchmarks.conditions.ways import EARLIER
from benchmarks.environment import Environments, bench_python
from benchmarks.figures import Figure
from benchmarks.machine import machine, versions
from benchmarks.record import Record, Run
from benchmarks.server import SETTINGS, Server

OURS = ("raw", "before", "untagged", "tag", "tags", "condition", "conditions")
PEERS = ("eventsourcing", "umadb")
DECISIONS = ("conditional", "decide", "compete")
ALONE = {"compete"}
"""Ways that make no sense for one client."""
PATIENCE = 120.0


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    messages: tuple[int, ...]
    clients: tuple[int, ...]
    rounds: int
    pairs: int
    """How often a round measures untagged writes before and after, one right after the other."""
    seconds: float
    """Of a turn."""
    ways: tuple[str, ...]
    """Only these, if there are any."""


class Measuring:
    """One database, and the clients that use it."""

    def __init__(self, sizes: Sizes, address: str, peers: dict[str, str], *, before: bool) -> None:
        self.sizes, self.address, self.peers, self.before = sizes, address, peers, before
        self.missing: dict[str, str] = {}
        self.written: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.turns = 0
        self._agent: Agent | None = None

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            python = str(bench_python()) if self.peers else sys.executable
            stores = self.peers | ({"before": ""} if self.before else {})
            command = [python, "-m", "benchmarks.conditions.clients"]
            command += [str(max(self.sizes.clients)), json.dumps(stores)]
            self._agent = Agent("clients", command, self.address, patience=PATIENCE)
        return self._agent

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()

    def ways(self, clients: int) -> list[str]:
        found = [way for way in OURS if way != "before" or self.before]
        found += DECISIONS
        for peer in self.peers:
            found += [f"{peer}/{way}" for way in ("tag", *DECISIONS)]
        if self.sizes.ways:
            found = [way for way in found if way in self.sizes.ways]
        return [way for way in found if clients > 1 or way.rpartition("/")[2] not in ALONE]

    def rate(self, way: str, clients: int) -> float | None:
        """How often a second clients do something; None for a peer that fails, now or before."""
        peer = way.partition("/")[0] if "/" in way else ""
        if peer and peer not in self.peers:
            return None
        self.turns += 1
        store = peer or "pgstore"
        order = {"store": store, "way": way, "turn": str(self.turns)}
        try:
            results = self.agent.run("turn", clients, seconds=self.sizes.seconds, **order)
        except TaskFailed as error:
            if not peer:
                raise
            self.missing[peer] = str(error)
            self.peers.pop(peer)
            self.agent.end()
            self._agent = None
            print(f"  {peer} is left out: {error}", file=sys.stderr, flush=True)
            return None
        table = {"raw": "raw", "before": EARLIER}.get(way, store)
        self.written[table] = self.written.get(table, 0) + sum(each["stored"] for each in results)
        self.refused[way] = self.refused.get(way, 0) + sum(each["refused"] for each in results)
        return float(sum(each["rate"] for each in results))

    def figures(self, messages: int, clients: int) -> Iterator[Figure]:
        """Measure all ways in interleaved rounds."""
        filling.settle(self.address)
        at = f"{messages:,} messages at first, {clients} client{'s' if clients > 1 else ''}"
        all_ways = new_figure(key_of(messages, clients), f"All ways, {at}")
        pairs = new_figure(pair_key(messages, clients), f"Untagged, before and after, {at}")
        for way in self.ways(clients):
            self.rate(way, clients)  # prepares statements, and has the server plan them
        for turn in range(self.sizes.rounds):
            all_ways.loads.append(round(os.getloadavg()[0], 1))
            for way in shuffled(self.ways(clients), f"{all_ways.key} {turn}"):
                if (value := self.rate(way, clients)) is not None:
                    all_ways.add(way, value)
            both = ("before", "untagged")
            for number in range(self.sizes.pairs if self.before else 0):
                for way in both if number % 2 else reversed(both):
                    pairs.add(way, self.rate(way, clients) or 0.0)
        for figure in (all_ways, pairs):
            if figure.rounds:
                figure.finish()
                yield figure

    def verify(self, messages: int) -> None:
        """Raise unless every store holds what was written to it; a peer that does not is noted."""
        for store, written in self.written.items():
            if store not in filling.STORED:
                continue
            if (problem := filling.wrong(self.address, store, messages, written)) is not None:
                if store not in PEERS:
                    raise TaskFailed(f"{store}: {problem}")
                self.missing[store] = problem


def new_figure(key: str, title: str) -> Figure:
    return Figure(key=key, workload="conditions", title=title, unit="a second", better="higher")


@contextmanager
def measuring(
    sizes: Sizes, server: Server, messages: int, before: Path | None, peers: list[str]
) -> Iterator[Measuring]:
    """Give a new database with so many messages in each store, and the peers' own."""
    start = time.monotonic()
    with ExitStack() as opened:
        address = filling.new_database(server, messages, before)
        opened.callback(filling.drop, server, address)
        at = dict.fromkeys(peers, address)
        missing: dict[str, str] = {}
        with ThreadPoolExecutor() as threads:
            if "umadb" in peers:
                at["umadb"] = opened.enter_context(umadb_server(server.folder))
            filled = {peer: threads.submit(fill_peer, peer, at[peer], messages) for peer in peers}
            filling.fill(address, messages, before)
        for peer, future in filled.items():
            if (error := future.exception()) is not None:
                print(getattr(error, "stderr", None) or error, file=sys.stderr)
                missing[peer] = "it could not be filled"
                at.pop(peer)
        print(f"filled with {messages:,} in {time.monotonic() - start:.0f} s", flush=True)
        found = Measuring(sizes, address, at, before=before is not None)
        found.missing |= missing
        opened.callback(found.close)
        yield found


def fill_peer(name: str, address: str, messages: int) -> None:
    module = "benchmarks.conditions.peers"
    command = [str(bench_python()), "-m", module, name, address, str(messages)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        command, check=True, cwd=ROOT, env=environment, timeout=PATIENCE, capture_output=True
    )


def measure(sizes: Sizes, before: Path | None, environments: Environments, said: str) -> Record:
    """Measure everything; the figures, and what could not be measured."""
    at, start = datetime.now(UTC), time.monotonic()
    figures: list[Figure] = []
    missing: dict[str, str] = {}
    peers: list[str] = []
    for name, needed in (("eventsourcing", "bench"), ("umadb", "umadb")):
        try:
            environments.make(needed)
            peers.append(name)
        except TaskFailed as error:
            missing[name] = str(error)
    with Server() as server:
        for messages in sizes.messages:
            with measuring(sizes, server, messages, before, peers) as each:
                for clients in sizes.clients:
                    for figure in each.figures(messages, clients):
                        figures.append(figure)
                        tell(figure)
                each.verify(messages)
                missing |= each.missing
                print(f"  refused: {each.refused}", flush=True)
    seconds = round(time.monotonic() - start, 1)
    return Record(
        machine=machine(),
        versions=versions() | environments.versions(),
        settings=SETTINGS,
        sizes=msgspec.to_builtins(sizes, order="sorted"),
        runs={"conditions": Run(at=f"{at:%Y-%m-%d %H:%M}", command=said, seconds=seconds)},
        contenders={},
        missing=missing,
        figures=figures,
    )


def tell(figure: Figure) -> None:
    print(f"{figure.title}, {figure.unit}", flush=True)
    for name, median in figure.medians.items():
        print(f"  {name:<26} {median:>12,.5g}", flush=True)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conditions", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--before", type=Path, metavar="PATH", help="another checkout of pgstore")
    parser.add_argument("--messages", type=numbers, default=(1000, 1_000_000), metavar="N,N")
    parser.add_argument("--clients", type=numbers, default=(1, 32), metavar="N,N")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=3, help="before and after, in each round")
    parser.add_argument("--seconds", type=float, default=0.25, help="of each turn")
    parser.add_argument("--ways", type=names, default=(), metavar="NAMES", help="only these")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of results")
    given = parser.parse_args(words)
    sizes = Sizes(
        messages=given.messages,
        clients=given.clients,
        rounds=given.rounds,
        pairs=given.pairs,
        seconds=given.seconds,
        ways=given.ways,
    )
    said = command(sys.argv[1:] if words is None else words)
    record = measure(sizes, given.before, Environments(), said)
    record.write(given.out)
    print(conditions_tables(record))
    return 0


def command(words: list[str]) -> str:
    """The command, without paths of the machine."""
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if before == "--before":
            kept.append("EARLIER")
        elif before != "--out" and word != "--out":
            kept.append(word)
    return " ".join(["python -m benchmarks.conditions", *kept])


def names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
