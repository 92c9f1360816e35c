"""The command line. Without the extra `pgstore[cli]`: `demo`, `install` and `sql-path`."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

from pgstore import _exits, _signals, _sql
from pgstore._text import one_line
from pgstore._version import package_version

_ALWAYS = ("demo", "install", "sql-path", "-h", "--help", "--version")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    if find_spec("typer") is None or find_spec("rich") is None:
        return _without_extra(arguments)
    try:
        if arguments is None:  # the process is ours
            _open_what_is_closed()
            # It tells of a connection that it gives up after Ctrl-C; children of it go on.
            logging.getLogger("psycopg").addFilter(lambda _: False)
            # So that a terminal is put in order, as with Ctrl-C.
            signal.signal(signal.SIGTERM, _signals.terminate)
        from pgstore.cli import app

        app(args=None if arguments is None else list(arguments), prog_name="pgstore")
    except KeyboardInterrupt:
        return _exits.INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _open_what_is_closed() -> None:
    """Have all of stdin, stdout and stderr; and no socket gets the number of one."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            free = os.open(os.devnull, os.O_RDWR)  # the lowest number
            setattr(sys, name, os.fdopen(free, "r" if name == "stdin" else "w"))


def _without_extra(arguments: Sequence[str] | None) -> int:
    import psycopg

    import pgstore

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] not in _ALWAYS:
            raise _exits.CommandError(
                "this takes packages that are not installed", hint="pip install 'pgstore[cli]'"
            )
        options = _parser().parse_args(given)
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
                _parser().print_help(sys.stderr)
                return 2
    except (pgstore.PgstoreError, psycopg.Error, _exits.CommandError) as error:
        print(_exits.told(error), file=sys.stderr)
        return _exits.exit_code(error)
    except KeyboardInterrupt:
        return _exits.INTERRUPTED
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pgstore",
        description="An event store in PostgreSQL.",
        epilog="More commands: pip install 'pgstore[cli]'",
    )
    parser.add_argument("--version", action="version", version=f"pgstore {package_version()}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser("demo", help="show what pgstore does, on a PostgreSQL server of its own")
    install = commands.add_parser("install", help="install a store, or upgrade it; safe to repeat")
    install.add_argument(
        "--dsn",
        default=os.environ.get("PGSTORE_DSN", ""),
        help="connection string of the database; otherwise PGSTORE_DSN, or libpq's environment",
    )
    install.add_argument(
        "--store",
        default=os.environ.get("PGSTORE_STORE", "pgstore"),
        metavar="NAME",
        help="otherwise PGSTORE_STORE, or pgstore",
    )
    commands.add_parser("sql-path", help="print the folder that holds install.sql, for psql")
    return parser


if __name__ == "__main__":
    sys.exit(main())
