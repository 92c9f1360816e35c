"""Measure pgstore against its peers and against the limit: `python -m benchmarks`.

Everything runs on one server with one set of settings, in interleaved rounds. Writes a file of
JSON; `python -m benchmarks.report` makes the tables and plots of it.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from benchmarks.bench import SETTINGS, Bench
from benchmarks.contenders import CLASSES
from benchmarks.environment import Environments
from benchmarks.machine import machine, versions
from benchmarks.record import Record
from benchmarks.sizes import FULL, QUICK
from benchmarks.workloads import WORKLOADS

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
    bench = Bench(sizes, arguments.contenders, Environments())
    start = time.monotonic()
    took: dict[str, float] = {}
    try:
        bench.prepare()
        for name in arguments.only:
            print(name, flush=True)
            begin = time.monotonic()
            bench.workload = name
            WORKLOADS[name](bench)
            took[name] = round(time.monotonic() - begin, 1)
            print(f"  ({took[name]:.0f} s)", flush=True)
            recorded(bench, said, took).write(arguments.out)
    finally:
        bench.close()
    print(f"{arguments.out.name}, in {time.monotonic() - start:.0f} s")
    for name, reason in bench.missing.items():
        print(f"not run: {name}: {reason}")
    return 0


def recorded(bench: Bench, said: str, took: dict[str, float]) -> Record:
    """What there is so far."""
    return Record(
        command=said,
        machine=machine(),
        versions=versions() | bench.environments.versions(),
        settings=SETTINGS,
        sizes=msgspec.to_builtins(bench.sizes, order="sorted"),
        seconds=took,
        contenders={
            each.name: {"title": each.title, "setting": each.setting, "order": each.global_order}
            for each in bench.contenders
        },
        missing=bench.missing,
        figures=bench.figures,
    )


def command(words: list[str]) -> str:
    """The command, without where its results went."""
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("--out") and before != "--out"
    ]
    return " ".join(["python -m benchmarks", *kept])


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="small: see whether figures come out")
    parser.add_argument("--only", type=listed(WORKLOADS), default=list(WORKLOADS), metavar="NAMES")
    parser.add_argument(
        "--contenders", type=listed(CLASSES), default=list(CLASSES), metavar="NAMES"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each timed round of writers")
    parser.add_argument("--out", type=Path, help="the file of results")
    arguments = parser.parse_args(words)
    if arguments.out is None:
        whole = not arguments.quick and arguments.only == list(WORKLOADS)
        folder = RESULTS if whole else Path(__file__).parents[1] / ".cache" / "bench"
        arguments.out = folder / ("full.json" if whole else "last.json")
    return arguments


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
