"""Try faults, and count what they cost: lost, doubled, skipped, parked and so on.

`python -m tests.faults [FAULT…] [--rounds N | --long] [--json FILE] [--report]`. Ends with status 1
if a promise was broken. `--report` writes docs/reliability.json and docs/reliability.md, `--page`
only the latter, of what is committed.
"""

import argparse
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pgstore._core.files import write_whole
from tests.faults import report
from tests.faults.catalogue import FAULTS, Fault
from tests.faults.counts import WRONG, Rounds
from tests.faults.disks import CannotMount
from tests.faults.failovers import NoPatroni
from tests.faults.poolers import NoPooler
from tests.faults.servers import Durable, durable_server
from tests.other_version import NoOtherVersion

_SHORT = 3
# No round of a fault begins after so many seconds.
_LIMIT = 600.0


def main(words: list[str] | None = None) -> int:
    arguments = _parse(words)
    if arguments.page:
        report.PAGE.write_text(report.filled(report.PAGE.read_text(), report.read()))
        return 0
    # Lost connections are the subject here, not worth a line each.
    for name in ("psycopg", "pgstore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    results: report.Results = {}
    for name in arguments.faults or FAULTS:
        rounds = FAULTS[name].long if arguments.long else arguments.rounds
        try:
            with durable_server() as server:
                results[name] = _try(FAULTS[name], server, Rounds(rounds, arguments.limit))
        except (CannotMount, NoOtherVersion, NoPatroni, NoPooler) as error:
            print(f"{name}: left out: {error.__doc__}", flush=True)
            continue
        print(f"{name}, {results[name].counts.rounds} rounds: ", end="")
        print(report.happened(results[name].counts), flush=True)
    print(_table(results))
    if arguments.json:
        report.write(results, arguments.json)
    if arguments.report:
        everything = report.read() | results
        report.write(everything)
        write_whole(report.PAGE, report.filled(report.PAGE.read_text(), report.read()))
    return 1 if any(each.counts.wrong for each in results.values()) else 0


def _parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--rounds", type=int, default=_SHORT)
    parser.add_argument("--long", action="store_true", help="as often as the page says")
    parser.add_argument("--limit", type=float, default=_LIMIT, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--report", action="store_true", help="write the page")
    parser.add_argument("--page", action="store_true", help="try nothing, write the page anew")
    arguments = parser.parse_args(words)
    if unknown := set(arguments.faults) - FAULTS.keys():
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return arguments


def _try(fault: Fault, server: Durable, rounds: Rounds) -> report.Result:
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    version = fault.version(server)
    start = time.monotonic()
    counts = fault.run(server, rounds)
    counts.rounds = rounds.made
    seconds = round(time.monotonic() - start, 1)
    return report.Result(at=at, seconds=seconds, postgres=version, counts=counts)


def _table(results: report.Results) -> str:
    head = ["fault", "rounds", "acknowledged", *WRONG, "back after"]
    rows = [
        [
            name,
            *(str(getattr(each.counts, kind)) for kind in ("rounds", "acknowledged", *WRONG)),
            f"{each.counts.slowest:.1f} s",
        ]
        for name, each in results.items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [head, *rows]
    )


if __name__ == "__main__":
    sys.exit(main())
