"""Run the application on every store, and compare its answers with those that are expected.

`python -m benchmarks.applications [NAMES]`. Each application gets a database of its own on a server
that ends with the command. `python -m benchmarks.report` writes the table of lines.
"""

import argparse
import sys

from benchmarks.applications import APPLICATIONS
from benchmarks.applications.asking import differing
from pgstore.embedded import Server


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.applications", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(APPLICATIONS))
    names = parser.parse_args().names or list(APPLICATIONS)
    if unknown := set(names) - set(APPLICATIONS):
        parser.error(f"{', '.join(unknown)}: there is {', '.join(APPLICATIONS)}")
    differences = []
    with Server() as server:
        for name in names:
            found = differing(APPLICATIONS[name], server.conninfo)
            print(f"{name}: {'other answers' if found else 'ok'}", flush=True)
            differences += found
    for difference in differences:
        print(difference)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
