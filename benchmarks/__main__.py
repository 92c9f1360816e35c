"""Measure pgstore against its peers and against the limit: `python -m benchmarks`.

Everything runs on one server with one set of settings, in interleaved rounds. Writes a file of
JSON; `python -m benchmarks.report` makes the tables and plots of it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench
from benchmarks.contenders import CLASSES
from benchmarks.environment import Environments
from benchmarks.machine import machine, versions
from benchmarks.record import Record, Run
from benchmarks.server import SETTINGS
from benchmarks.sizes import FULL, QUICK
from benchmarks.workloads import BY_SIZE, ON_REQUEST, WORKLOADS

RESULTS = Path(__file__).parent / "results"


def main(words: list[str] | None = None) -> int:
    arguments = parsed(words)
    sizes = QUICK if arguments.quick else FULL
    sizes = msgspec.structs.replace(
        sizes,
        rounds=arguments.rounds or sizes.rounds,
        seconds=arguments.seconds or sizes.seconds,
    )
    said = command(sys.argv[1:] if words is None else words)
    earlier = Record.read(arguments.into) if arguments.into else None
    bench = Bench(sizes, arguments.contenders, Environments())
    start = time.monotonic()
    runs: dict[str, Run] = {}
    try:
        bench.prepare()
        for name in arguments.only:
            runs[name] = measured(bench, name, said)
            found = recorded(bench, runs)
            (found.into(earlier) if earlier else found).write(arguments.into or arguments.out)
    finally:
        bench.close()
    print(f"{(arguments.into or arguments.out).name}, in {time.monotonic() - start:.0f} s")
    for name, reason in (bench.missing | bench.failures).items():
        print(f"not measured: {name}: {reason}")
    return 1 if bench.failures.keys() & runs.keys() else 0


def measured(bench: Bench, name: str, said: str) -> Run:
    """Run a workload. If it fails it is noted, and the others have their turn."""
    print(name, flush=True)
    at, begin = datetime.now(UTC), time.monotonic()
    bench.begin(name)
    before = len(bench.figures)
    try:
        WORKLOADS[name](bench)
    except (TaskFailed, psycopg.Error) as error:
        bench.failures[name] = str(error)
    if len(bench.figures) == before and name not in bench.missing:
        bench.failures.setdefault(name, "no figure came out")
    took = time.monotonic() - begin
    print(f"  ({took:.0f} s)", flush=True)
    return Run(at=f"{at:%Y-%m-%d %H:%M}", command=said, seconds=round(took, 1))


def recorded(bench: Bench, runs: dict[str, Run]) -> Record:
    """What there is so far."""
    return Record(
        machine=machine(),
        versions=versions() | bench.environments.versions(),
        settings=SETTINGS,
        sizes=msgspec.to_builtins(bench.sizes, order="sorted"),
        runs=runs,
        contenders={
            each.name: {"title": each.title, "setting": each.setting, "order": each.global_order}
            for each in bench.contenders
        },
        missing=bench.missing | bench.failures,
        figures=bench.figures,
    )


def command(words: list[str]) -> str:
    """The command, without where its results went."""
    hidden = ("--out", "--into")
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith(hidden) and before not in hidden
    ]
    return " ".join(["python -m benchmarks", *kept])


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="small: see whether figures come out")
    parser.add_argument("--growth", action="store_true", help="only the charts by size")
    parser.add_argument(
        "--history", action="store_true", help="only stores of millions of messages"
    )
    parser.add_argument("--only", type=listed(WORKLOADS), metavar="NAMES")
    parser.add_argument(
        "--contenders", type=listed(CLASSES), default=list(CLASSES), metavar="NAMES"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each timed round of writers")
    parser.add_argument("--out", type=Path, help="the file of results")
    parser.add_argument("--into", type=Path, help="a file of results to put these workloads into")
    arguments = parser.parse_args(words)
    whole = arguments.only is None and arguments.contenders == list(CLASSES)
    if arguments.only is None:
        arguments.only = chosen(arguments)
    if arguments.history:
        arguments.contenders = ["pgstore"]
    if arguments.out is None:
        name = "full.json"
        if arguments.growth or arguments.history:
            name = "growth.json" if arguments.growth else "history.json"
        cache = Path(__file__).parents[1] / ".cache" / "bench"
        arguments.out = RESULTS / name if whole and not arguments.quick else cache / "last.json"
    return arguments


def chosen(arguments: argparse.Namespace) -> list[str]:
    """The workloads of a run that names none."""
    if arguments.history:
        return list(ON_REQUEST)
    if arguments.quick:
        return list(WORKLOADS)
    if arguments.growth:
        return list(BY_SIZE)
    return [name for name in WORKLOADS if name not in BY_SIZE + ON_REQUEST]


def listed(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name}: there is {', '.join(known)}")
        return [name for name in known if name in found]

    return names


if __name__ == "__main__":
    sys.exit(main())
