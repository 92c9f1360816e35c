"""Checks of settings that hurt, with their remedies."""

import shlex
from datetime import UTC, datetime
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

import msgspec
import typer

from pgstore._core import sql_files
from pgstore._core import statements as s
from pgstore._core.text import printable
from pgstore._core.version import package_version
from pgstore.cli._app import command
from pgstore.cli._call import Call, Session
from pgstore.cli._errors import FAILED
from pgstore.cli._layout import Row

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}

_INDENT = " " * 6

_SESSION = """
SELECT current_setting('server_version') AS server_version,
  current_setting('server_version_num')::integer AS server_number,
  current_setting('server_encoding') AS server_encoding,
  current_setting('client_encoding') AS client_encoding,
  current_setting('default_transaction_read_only') AS read_only,
  pg_is_in_recovery() AS standby,
  clock_timestamp() AS now
"""
_MARK = "SELECT set_config('pgstore.doctor', 'here', false), pg_backend_pid()"
_LOOK = "SELECT current_setting('pgstore.doctor', true), pg_backend_pid()"

# `pgstore move` makes these, and removes them at its end; the target reads the slot until then.
_MOVES = """
SELECT 'slot ' || s.slot_name || coalesce(', for which ' || pg_size_pretty(
    pg_wal_lsn_diff(
      CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
      s.restart_lsn
    )
  ) || ' of WAL are kept', '') AS found, s.active
FROM pg_replication_slots AS s
WHERE starts_with(s.slot_name, 'pgstore_move_')
UNION ALL
SELECT 'publication ' || p.pubname, EXISTS (
    SELECT FROM pg_replication_slots AS s WHERE s.slot_name = p.pubname AND s.active
  )
FROM pg_publication AS p
WHERE starts_with(p.pubname, 'pgstore_move_')
UNION ALL
SELECT 'subscription ' || s.subname, EXISTS (
    SELECT FROM pg_stat_subscription AS w WHERE w.subid = s.oid AND w.pid IS NOT NULL
  )
FROM pg_subscription AS s
WHERE starts_with(s.subname, 'pgstore_move_')
  AND s.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
"""

# The functions in the remedies of the SQL function health(), and the command for each.
_COMMANDS = {
    "list_partitions()": "pgstore subscriptions NAME",
    "resume_subscription": "pgstore resume NAME",
    "list_parked": "pgstore parked list NAME",
    "replay_parked": "pgstore parked replay NAME",
    "drop_parked": "pgstore parked drop NAME",
    "deliver_scheduled": "pgstore run … --scheduled",
    "set keep_unhandled to false": "pgstore retention set CATEGORY … --delete-unhandled",
}


class Finding(msgspec.Struct, frozen=True):
    """A check: its name, its result, and the remedy if that hurts."""

    name: str
    status: Literal["ok", "warn", "fail"]
    value: str
    remedy: str | None = None


@command("doctor", panel="Operations")
def doctor(call: Call) -> None:
    """Look for settings that hurt, each with its remedy.

    Exits with 1 if a check has failed; warnings are not failures.

    \b
      pgstore doctor --json | jq 'select(.status != "ok")'
    """
    import psycopg

    checks = [*_package()]
    conninfo = call.target.conninfo
    # As an application would connect: with the encoding and time zone that it would get.
    with psycopg.connect(conninfo, autocommit=True) as conn:
        checks += _session(Session(conn, call.statements).row(_SESSION))
        with psycopg.connect(conninfo) as other:
            checks.append(_pooling(conn, other))
    with call.connect(check=False) as session:
        checks += _moving(session)
        checks += _store(call, session)
    if call.out.json:
        for check in checks:
            call.out.document(msgspec.structs.asdict(check))
    else:
        _tell(call, checks)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(FAILED)


def _judged(name: str, value: str, remedy: str, *, fine: bool, fails: bool = False) -> Finding:
    """A check that passes, or warns or fails with a remedy."""
    if fine:
        return Finding(name, "ok", value)
    return Finding(name, "fail" if fails else "warn", value, remedy)


def _package() -> list[Finding]:
    import psycopg
    from psycopg import pq

    return [
        Finding("package", "ok", f"pgstore {package_version()}, psycopg {psycopg.__version__}"),
        _judged(
            "psycopg implementation",
            pq.__impl__,
            "slow: pip install 'pgstore[binary]'",
            fine=pq.__impl__ != "python",
        ),
    ]


def _session(found: Row) -> list[Finding]:
    encoding, standby = found["client_encoding"], found["standby"]
    writable = found["read_only"] == "off" and not standby
    skew = abs((datetime.now(UTC) - found["now"]).total_seconds())
    return [
        _judged(
            "server",
            f"PostgreSQL {found['server_version']}, {found['server_encoding']}",
            "pgstore needs PostgreSQL 14 or newer, and the encoding UTF8",
            fine=found["server_number"] >= 140000 and found["server_encoding"] == "UTF8",
            fails=True,
        ),
        _judged(
            "primary",
            "yes" if writable else "standby" if standby else "read only",
            "write and run subscriptions on the primary"
            if standby
            else "set default_transaction_read_only to off, or connect to the primary",
            fine=writable,
            fails=not standby,
        ),
        _judged(
            "client encoding",
            encoding,
            "connections of yours cannot pass every text: set client_encoding=utf8"
            " in the connection string, or PGCLIENTENCODING",
            fine=encoding == "UTF8",
        ),
        _judged(
            "clocks",
            f"{skew:.1f} s apart",
            "added_at is the server's clock, ids hold this machine's: run NTP on both",
            fine=skew < 5,
        ),
    ]


def _pooling(conn: "Connection[TupleRow]", other: "Connection[TupleRow]") -> Finding:
    """Whether a pooler gives a server session to each transaction.

    The first connection sets something in its session; while the other one has a transaction, which
    a pooler may have put on that session, the first one looks whether it still has it.
    """
    ((_, before),) = conn.execute(_MARK)
    ((theirs, during),) = other.execute(_LOOK)
    ((ours, after),) = conn.execute(_LOOK)
    other.rollback()
    if theirs == "here" or ours != "here" or before != after or before == during:
        return Finding(
            "pooler",
            "warn",
            "a session lasts for a transaction",
            "give stores prepare_threshold=None; they poll, as tail -f does",
        )
    if conn.info.backend_pid != before:
        return Finding("pooler", "ok", "one that keeps sessions, or many that have room")
    return Finding("pooler", "ok", "none")


def _moving(session: Session) -> list[Finding]:
    """Whether a store can move away from here, and whether a move has left anything behind."""
    level = session.row("SELECT current_setting('wal_level') AS level")["level"]
    moves = [*session.rows(_MOVES)]
    left = [row["found"] for row in moves if not row["active"]]
    return [
        Finding(
            "wal_level",
            "ok",
            level if level == "logical" else f"{level}; pgstore move needs logical",
        ),
        _judged(
            "moves",
            ", ".join(left) or (f"{moves[0]['found']}: under way" if moves else "none"),
            "a move was cut off, and a slot keeps WAL until the disk is full: run pgstore move as"
            " before, or with --abort; if its other server is gone, drop these",
            fine=not left,
        ),
    ]


def _store(call: Call, session: Session) -> list[Finding]:
    from psycopg.errors import InsufficientPrivilege

    from pgstore._sync import installer
    from pgstore.errors import StoreMovedError

    try:
        applied = installer.applied_migrations(session.conn, call.statements)
    except InsufficientPrivilege as error:
        return [
            Finding("store", "fail", str(error).strip(), "ask the store's owner: pgstore grant")
        ]
    newest = sql_files.migrations()[-1].number
    if not applied:
        return [
            Finding("store", "fail", f"{call.store} is not installed", _command(call, "install"))
        ]
    problem = installer.problem_of(applied, call.store)
    version = f"{call.store} at schema version {max(applied)}"
    if max(applied) != newest:
        version += f", this package brings {newest}"
    if problem is not None:
        return [
            Finding("store", "fail", version, str(problem).replace("python -m pgstore", "pgstore"))
        ]
    here = _judged(
        "store",
        version,
        f"its functions are of another release: {_command(call, 'upgrade')}",
        fine=applied == sql_files.checksums(),
    )
    try:
        return [here, *(_health(row) for row in session.rows(s.HEALTH))]
    except InsufficientPrivilege:
        role = session.conn.info.user
        command = _command(call, f"grant monitor {shlex.quote(role)}")
        remedy = f"ask the store's owner for it: {command}"
        return [here, Finding("health", "warn", f"role {role} may not look", remedy)]
    except StoreMovedError as error:
        remedy = f"connect there: pgstore doctor --conninfo {shlex.quote(error.conninfo)}"
        return [here, Finding("open", "fail", f"closed; the store is at {error.conninfo}", remedy)]


def _command(call: Call, words: str) -> str:
    """A command for this store."""
    store = "" if call.store == "pgstore" else f" --store {shlex.quote(call.store)}"
    return f"pgstore {words}{store}"


def _health(row: Row) -> Finding:
    """A check of the server; one that passes needs no remedy."""
    remedy = None
    if row["status"] != "ok":
        remedy = row["remedy"]
        for called, command in _COMMANDS.items():
            remedy = remedy.replace(called, command)
    return Finding(row["name"], row["status"], row["value"], remedy)


def _tell(call: Call, checks: list[Finding]) -> None:
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
            for line in lines:
                call.out.line(line)
