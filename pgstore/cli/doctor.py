"""Checks of settings that hurt, with their remedies."""

from textwrap import wrap
from typing import TYPE_CHECKING

import msgspec
import typer

from pgstore._core import statements as s
from pgstore._core.text import printable
from pgstore.cli._app import command
from pgstore.cli._call import Call, Session
from pgstore.cli._errors import FAILED

if TYPE_CHECKING:
    from pgstore._core.findings import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}

_INDENT = " " * 6


@command("doctor", panel="Operations")
def doctor(call: Call) -> None:
    """Look for settings that hurt, each with its remedy.

    Exits with 1 if a check has failed; warnings are not failures.

    \b
      pgstore doctor --json | jq 'select(.status != "ok")'
    """
    import psycopg

    from pgstore._core import findings
    from pgstore._sync.pooling import pooling

    checks = [*findings.of_package()]
    conninfo = call.target.conninfo
    # As an application would connect: with the encoding and time zone that it would get.
    with psycopg.connect(conninfo, autocommit=True) as conn:
        checks += findings.of_session(Session(conn, call.statements).row(findings.SESSION))
        with psycopg.connect(conninfo, autocommit=True) as other:
            checks.append(pooling(conn, other))
    with call.connect(check=False) as session:
        # Whether a store can move away from here, and whether a move has left anything behind.
        moves = [
            (found, active) for found, active in map(dict.values, session.rows(findings.MOVES))
        ]
        checks += findings.of_moves(session.value(findings.WAL_LEVEL), moves)
        checks += _store(call, session)
    if call.out.json:
        call.out.documents(map(msgspec.structs.asdict, checks))
    else:
        _tell(call, checks)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(FAILED)


def _store(call: Call, session: Session) -> "list[Finding]":
    from psycopg.errors import InsufficientPrivilege

    from pgstore._core import findings
    from pgstore._sync import installer
    from pgstore.errors import StoreMovedError

    try:
        applied = installer.applied_migrations(session.conn, call.statements)
    except InsufficientPrivilege as error:
        remedy = "ask the store's owner: pgstore grant"
        return [findings.Finding("store", "fail", str(error).strip(), remedy)]
    here = findings.of_migrations(applied, installer.problem_of(applied, call.store), call.store)
    if here.status == "fail":
        return [here]
    try:
        return [here, *(findings.of_health(**row) for row in session.rows(s.HEALTH))]
    except InsufficientPrivilege:
        return [here, findings.of_missing_right(session.conn.info.user, call.store)]
    except StoreMovedError as error:
        return [here, findings.of_closed(error.conninfo, call.store)]


def _tell(call: Call, checks: "list[Finding]") -> None:
    from rich.text import Text

    longest = max(len(check.name) for check in checks)
    for check in checks:
        status = (check.status.ljust(6), _COLOURS[check.status])
        name = (printable(check.name.replace("_", " ")).ljust(longest + 2), "bold")
        call.out.line(Text.assemble(status, name, printable(check.value)))
        if check.remedy:
            # By words: a terminal would break it anywhere, and begin at its left edge.
            lines = wrap(
                printable(check.remedy),
                max(call.out.width, 40),
                initial_indent=_INDENT,
                subsequent_indent=_INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
            call.out.lines(lines)
