"""The clients: `python -m benchmarks.conditions.clients CLIENTS STORES CONNINFO`.

A process for each, forked once. Speaks with its caller as `benchmarks.agent` does: a line of JSON
on standard input is a turn of one way, by the first of the clients; `go` starts it. STORES names,
as JSON, which stores there are, and the addresses of the peers.
"""

import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.conditions.peers import PEERS
from benchmarks.conditions.ways import PgstoreWays, Ways, Work
from benchmarks.tasks import WARM_UP, failure

FORK = multiprocessing.get_context("fork")
AHEAD = 0.005
"""Seconds from the word to start until all start."""


class Clients:
    def __init__(self, count: int, stores: dict[str, str], conninfo: str) -> None:
        self.processes, self.pipes = [], []
        for number in range(count):
            ours, theirs = FORK.Pipe()
            process = FORK.Process(
                target=serve, args=(number, count, stores, conninfo, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self.processes.append(process)
            self.pipes.append(ours)

    def tell(self, what: Any, count: int) -> list[Any]:
        """Tell something to the first of the clients; their answers."""
        for pipe in self.pipes[:count]:
            pipe.send(what)
        return [answer_of(pipe) for pipe in self.pipes[:count]]

    def end(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(10)


def answer_of(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return {"error": "the client's process died"}


def serve(number: int, count: int, stores: dict[str, str], conninfo: str, pipe: Connection) -> None:
    """What a client's process does."""
    opened: dict[str, Ways] = {}
    ways: dict[str, tuple[Ways, Work]] = {}
    warm: set[str] = set()

    def turn(order: dict[str, Any]) -> Any:
        name = order["store"]
        if name not in opened:
            opened[name] = opened_ways(name, stores, conninfo, number, count)
            ways.update({way: (opened[name], work) for way, work in opened[name].all().items()})
        store, work = ways[order["way"]]
        store.begin(order["turn"], order["clients"])
        stored = 0
        for _ in range(0 if order["way"] in warm else WARM_UP):
            stored += work() is not False
        warm.add(order["way"])
        pipe.send({})
        start = pipe.recv()
        time.sleep(max(0, start - time.monotonic()))
        store.refused, done, until = 0, 0, start + order["seconds"]
        while (now := time.monotonic()) < until:
            done += work() is not False
        rate = done / (now - start)
        return {"rate": rate, "refused": store.refused, "stored": stored + done}

    while True:
        try:
            order = pipe.recv()
        except EOFError:
            break
        try:
            pipe.send(turn(order))
        except Exception as error:  # the caller raises it, or leaves out a peer
            pipe.send(failure(error))
    for store in opened.values():
        store.close()


def opened_ways(name: str, stores: dict[str, str], conninfo: str, number: int, count: int) -> Ways:
    if name in PEERS:
        ways: Ways = PEERS[name](stores[name], number, count)
        return ways
    return PgstoreWays(conninfo, number, count, earlier="before" in stores)


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    count, stores, conninfo = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    clients = Clients(count, stores, conninfo)
    for line in sys.stdin:
        order = json.loads(line)
        chosen = order["clients"]
        prepared = clients.tell(order["options"] | {"clients": chosen}, chosen)
        if failed := [each for each in prepared if "error" in each]:
            say(failed[0])
            break
        say({"ready": True})
        if not sys.stdin.readline():
            break
        say({"results": clients.tell(time.monotonic() + AHEAD, chosen)})
    clients.end()


if __name__ == "__main__":
    main()
