"""Run the application on every store, compare its answers, and write the table of docs/choosing.md.

`python -m benchmarks.applications [NAMES]`: each application gets a database of its own. The table
is written when all applications have given the answers that are expected.
"""

import argparse
import sys

from benchmarks.applications import APPLICATIONS
from benchmarks.applications.asking import differing
from pgstore.embedded import Server


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.applications", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("names", nargs="*", choices=[*APPLICATIONS, []], help="not all of them")
    names = parser.parse_args(words).names or list(APPLICATIONS)
    differences = []
    with Server() as server:
        for name in names:
            found = differing(APPLICATIONS[name], server.conninfo)
            print(f"{name}: {'other answers' if found else 'ok'}", flush=True)
            differences += found
    print(*differences, sep="\n", end="")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
