"""The commands: `python -m pgstore demo`, `install` and `sql-path`."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import psycopg

import pgstore
from pgstore import _sql


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "demo":
                from pgstore import demo  # needs a Unix; the other commands do not

                return demo.main()
            case "install":
                number = pgstore.install(options.dsn, name=options.store)
                print(f"Store {options.store} is at schema version {number}.")
            case "sql-path":
                print(_sql.ROOT)
            case None:
                parser.print_help(sys.stderr)
                return 2
    except (pgstore.PgstoreError, psycopg.Error) as error:
        print(f"error: {_told(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pgstore", description="An event store in PostgreSQL."
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser("demo", help="show what pgstore does, on a PostgreSQL server of its own")
    install = commands.add_parser("install", help="install a store, or upgrade it; safe to repeat")
    install.add_argument(
        "--dsn",
        default="",
        help="connection string of the database; without it libpq's environment (PGHOST, …) counts",
    )
    install.add_argument("--store", default="pgstore", metavar="NAME", help="default: %(default)s")
    commands.add_parser("sql-path", help="print the folder that holds install.sql, for psql")
    return parser


def _version() -> str:
    with suppress(PackageNotFoundError):  # run from its source
        return f"pgstore {version('pgstore')}"
    return "pgstore"


def _told(error: Exception) -> str:
    """The error and, from the server, its hint; without the place in the SQL code."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        hint = error.diag.message_hint
        return error.diag.message_primary + (f"\nhint: {hint}" if hint else "")
    return str(error).strip()


if __name__ == "__main__":
    sys.exit(main())
