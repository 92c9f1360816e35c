"""The command line, which takes the extra `pgstore[cli]`: see `pgstore.cli`."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from pgstore._compat import signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    if find_spec("typer") is None or find_spec("rich") is None:
        sys.stderr.write(
            "error: the command line takes packages that are not installed\n"
            "hint: pip install 'pgstore[cli]'\n"
        )
        return 1
    try:
        if arguments is None:  # the process is ours
            _open_what_is_closed()
            # It logs a connection that it gives up after Ctrl-C; its child loggers still log.
            logging.getLogger("psycopg").addFilter(lambda _: False)
            # So does the pool of one that SIGTERM ended in the middle of a statement.
            ended = ("closing returned connection", "discarding closed connection")
            pool = logging.getLogger("psycopg.pool")
            pool.addFilter(lambda record: not str(record.msg).startswith(ended))
            # So that a terminal is put in order, as with Ctrl-C.
            signal.signal(signal.SIGTERM, signals.terminate)
        from pgstore.cli import app, load

        load(sys.argv[1:] if arguments is None else arguments)
        app(args=None if arguments is None else list(arguments), prog_name="pgstore")
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _open_what_is_closed() -> None:
    """Have all of stdin, stdout and stderr; and no socket gets the number of one."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            free = os.open(os.devnull, os.O_RDWR)  # the lowest number
            setattr(sys, name, os.fdopen(free, "r" if name == "stdin" else "w"))


if __name__ == "__main__":
    sys.exit(main())
