"""Run the tasks of one contender: `python -m benchmarks.agent NAME CONNINFO`.

A line of JSON on standard input is a task. It is answered by `{"ready": true}` when all its clients
are prepared. Then a line `go` starts them, `status` asks for the number that they share, `stop`
ends those that would not end by themselves, and a line of JSON has the results. Every client is a
forked process with a connection of its own.
"""

import json
import multiprocessing
import sys
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from benchmarks import contenders
from benchmarks.kinds import batches_of_kind
from benchmarks.tasks import TASKS, Place, failure
from benchmarks.together import TASKS as TOGETHER

ALL_TASKS = TASKS | TOGETHER | {"batches_of_kind": batches_of_kind}

FORK = multiprocessing.get_context("fork")


class Running:
    """The clients of a task."""

    def __init__(
        self, contender: str, conninfo: str, task: str, clients: int, options: Any
    ) -> None:
        self.go = FORK.Event()
        self.stop = FORK.Event()
        self.shared = FORK.Value("q", 0)
        self.clients: list[tuple[BaseProcess, Connection]] = []
        for number in range(clients):
            ours, theirs = FORK.Pipe(duplex=False)
            place = Place(number, clients, self.stop, self.shared)
            process = FORK.Process(
                target=work,
                args=(contender, conninfo, task, options, place, self.go, theirs),
                daemon=True,
            )
            process.start()
            theirs.close()
            self.clients.append((process, ours))

    def answers(self) -> list[Any]:
        """The next thing that each client says."""
        found = {}
        left = {pipe: number for number, (_, pipe) in enumerate(self.clients)}
        while left:
            for pipe in wait(list(left)):
                assert isinstance(pipe, Connection)
                number = left.pop(pipe)
                try:
                    found[number] = pipe.recv()
                except EOFError:
                    found[number] = {"error": "the client's process died"}
        return [found[number] for number in range(len(self.clients))]

    def end(self) -> None:
        for process, pipe in self.clients:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()


def work(
    contender: str, conninfo: str, task: str, options: Any, place: Place, go: Any, pipe: Connection
) -> None:
    """What a client's process does."""
    try:
        client = contenders.named(contender).client(conninfo)
        running = ALL_TASKS[task](client, place, **options)
        next(running)
        pipe.send({})
        go.wait()
        try:
            next(running)
        except StopIteration as end:
            pipe.send(end.value)
        client.close()
    except Exception as error:
        place.stop.set()
        pipe.send(failure(error))


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    contender, conninfo = sys.argv[1:]
    contenders.named(contender).imports()  # once, before the clients are forked
    for line in sys.stdin:
        order = json.loads(line)
        running = Running(contender, conninfo, order["task"], order["clients"], order["options"])
        prepared = running.answers()
        if failed := [each for each in prepared if "error" in each]:
            say(failed[0])
        else:
            say({"ready": True})
            if not sys.stdin.readline():
                return
            running.go.set()
            if order["endless"]:
                while sys.stdin.readline().strip() == "status":
                    say({"status": running.shared.value})
                running.stop.set()
            say({"results": running.answers()})
        running.end()


if __name__ == "__main__":
    assert threading.active_count() == 1
    main()
