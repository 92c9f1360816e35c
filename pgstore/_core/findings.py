"""Findings of the checks of a store, its server and this package, each with its remedy."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import psycopg
from psycopg import pq

from pgstore._core import sql_files
from pgstore._core.version import package_version

# The settings that an application's session would get.
SESSION = """
SELECT current_setting('server_version') AS server_version,
  current_setting('server_version_num')::integer AS server_number,
  current_setting('server_encoding') AS server_encoding,
  current_setting('client_encoding') AS client_encoding,
  current_setting('default_transaction_read_only') AS read_only,
  pg_is_in_recovery() AS standby,
  clock_timestamp() AS now
"""
# Whether a pooler gives a server session to each transaction: the first connection runs MARK; while
# another one has run LOOK in an open transaction, which a pooler may have put on that session, the
# first one runs LOOK too.
MARK = "SELECT set_config('pgstore.doctor', 'here', false), pg_backend_pid()"
LOOK = "SELECT current_setting('pgstore.doctor', true), pg_backend_pid()"

WAL_LEVEL = "SELECT current_setting('wal_level') AS level"
# `pgstore move` makes these, and removes them at its end; the target reads the slot until then.
MOVES = """
SELECT 'slot ' || s.slot_name || coalesce(', for which ' || pg_size_pretty(
    pg_wal_lsn_diff(
      CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
      s.restart_lsn
    )
  ) || ' of WAL are kept', '') AS found,
  s.active OR s.is_of_copy AND bool_or(s.active) OVER ()
FROM (
  SELECT s.*, s.slot_name ~ '^pg_[0-9]+_sync_' AS is_of_copy FROM pg_replication_slots AS s
) AS s
WHERE starts_with(s.slot_name, 'pgstore_move_')
  -- A table that is copied has a slot of its own meanwhile.
  OR s.is_of_copy AND s.database = current_database() AND EXISTS (
    SELECT FROM pg_publication AS p WHERE starts_with(p.pubname, 'pgstore_move_')
  )
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

Status = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """A check: its name, its result, and the remedy if that hurts."""

    name: str
    status: Status
    value: str
    remedy: str | None = None


def _judged(name: str, value: str, remedy: str, *, fine: bool, fails: bool = False) -> Finding:
    """A check that passes, or warns or fails with a remedy."""
    if fine:
        return Finding(name, "ok", value)
    return Finding(name, "fail" if fails else "warn", value, remedy)


def of_package() -> list[Finding]:
    """The package and its driver."""
    return [
        Finding("package", "ok", f"pgstore {package_version()}, psycopg {psycopg.__version__}"),
        _judged(
            "psycopg implementation",
            pq.__impl__,
            "slow: pip install 'pgstore[binary]'",
            fine=pq.__impl__ != "python",
        ),
    ]


def of_session(found: Mapping[str, Any]) -> list[Finding]:
    """The server and the session, from the columns of SESSION."""
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


def of_pooling(
    mark: tuple[Any, ...], other: tuple[Any, ...], look: tuple[Any, ...], client_pid: int
) -> Finding:
    """The pooler, from the answers to MARK, to the other connection's LOOK, and to LOOK.

    `client_pid` is the process that the server named when the first connection was opened.
    """
    (_, before), (theirs, during), (ours, after) = mark, other, look
    if theirs == "here" or ours != "here" or before != after or before == during:
        return Finding(
            "pooler",
            "warn",
            "a session lasts for a transaction",
            "give stores prepare_threshold=None; they poll, as tail -f does",
        )
    if client_pid != before:
        return Finding("pooler", "ok", "one that keeps sessions, or many that have room")
    return Finding("pooler", "ok", "none")


def of_moves(wal_level: str, moves: Sequence[tuple[str, bool]]) -> list[Finding]:
    """Moves from here: the level they need, and the rest of others; of WAL_LEVEL and MOVES."""
    left = [found for found, active in moves if not active]
    level = wal_level if wal_level == "logical" else f"{wal_level}; pgstore move needs logical"
    return [
        Finding("wal_level", "ok", level),
        _judged(
            "moves",
            ", ".join(left) or (f"{moves[0][0]}: under way" if moves else "none"),
            "a move was cut off, and a slot keeps WAL until the disk is full: run pgstore move as"
            " before, or with --abort; if its other server is gone, drop these",
            fine=not left,
        ),
    ]


def of_migrations(
    applied: Mapping[int, str] | None, problem: Exception | None, store: str
) -> Finding:
    """The store's version, from its migrations and the error that they mean for this package."""
    if not applied:
        return Finding("store", "fail", f"{store} is not installed", _command(store, "install"))
    newest = sql_files.migrations()[-1].number
    version = f"{store} at schema version {max(applied)}"
    if max(applied) != newest:
        version += f", this package brings {newest}"
    if problem is not None:
        remedy = str(problem).replace("python -m pgstore", "pgstore")
        return Finding("store", "fail", version, remedy)
    return _judged(
        "store",
        version,
        f"its functions are of another release: {_command(store, 'upgrade')}",
        fine=applied == sql_files.checksums(),
    )


def of_health(name: str, status: Status, value: str, remedy: str) -> Finding:
    """A row of the SQL function health(); a check that passes needs no remedy."""
    if status == "ok":
        return Finding(name, status, value)
    for called, command in _COMMANDS.items():
        remedy = remedy.replace(called, command)
    return Finding(name, status, value, remedy)


def of_missing_right(role: str, store: str) -> Finding:
    """In the place of the rows of health(), for a role that may not call it."""
    command = _command(store, f"grant monitor {shlex.quote(role)}")
    return Finding(
        "health", "warn", f"role {role} may not look", f"ask the store's owner for it: {command}"
    )


def of_closed(conninfo: str, store: str) -> Finding:
    """In the place of the rows of health(), of a store that has moved to another place."""
    command = _command(store, f"doctor --conninfo {shlex.quote(conninfo)}")
    remedy = f"connect there: {command}"
    return Finding("open", "fail", f"closed; the store is at {conninfo}", remedy)


def _command(store: str, words: str) -> str:
    """A command for this store."""
    option = "" if store == "pgstore" else f" --store {shlex.quote(store)}"
    return f"pgstore {words}{option}"
