"""The store's figures, contents and checks, as pages show them."""

import asyncio
from datetime import datetime

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from pgstore._async.installer import problem_of
from pgstore._async.pooling import pooling
from pgstore._core import findings, statements
from pgstore._core.findings import Finding
from pgstore.errors import StoreMovedError
from pgstore.ui.console import Console
from pgstore.ui.pages import Page


class Statistics(msgspec.Struct, frozen=True):
    """The row of `store_statistics`."""

    safe_position: int | None
    last_position: int
    in_flight: bool | None
    streams_estimate: int | None
    messages_estimate: int | None
    dead_messages: int | None
    table_bytes: int
    index_bytes: int
    subscriptions: int
    parked_messages: int
    last_vacuum_at: datetime | None


class Table(msgspec.Struct, frozen=True):
    """The files of a table."""

    name: str
    bytes: int
    index_bytes: int
    rows: int | None


class StoredStream(msgspec.Struct, frozen=True):
    """A stream with the number of its messages."""

    stream: str
    messages: int
    version: int | None
    last_added_at: datetime | None


class Share(msgspec.Struct, frozen=True):
    """A category or type, and how many of the messages that were looked at have it."""

    name: str
    found: int


class Policy(msgspec.Struct, frozen=True):
    """A row of `list_retention`."""

    category: str
    max_age: float | None
    max_age_text: str | None
    max_count: int | None
    keep_unhandled: bool
    reached: int
    handled: int | None
    waits: bool


class Entry(msgspec.Struct, frozen=True):
    """An entry of the audit."""

    id: int
    at: datetime
    session_role: str
    acting_role: str
    action: str
    subject: str | None
    reason: str | None
    detail: str | None


async def findings_of(page: Page) -> list[Finding]:
    """The findings of doctor, those that hurt first."""
    console = page.console
    probed, applied, health = await asyncio.gather(
        _probed(console), _applied(console), _health(page)
    )
    here = findings.of_migrations(applied, problem_of(applied, console.name), console.name)
    order = {"fail": 0, "warn": 1, "ok": 2}
    checks = [*findings.of_package(), *probed, here, *health]
    return sorted(checks, key=lambda each: order[each.status])


async def _probed(console: Console) -> list[Finding]:
    """The server and the pooler, by connections as an application would have them."""
    connection = await console.like_connections()
    async with (
        console.connecting,
        await AsyncConnection.connect(**connection, autocommit=True) as conn,
        await AsyncConnection.connect(**connection, autocommit=True) as other,
    ):
        cursor = await conn.cursor(row_factory=dict_row).execute(findings.SESSION)
        (session,) = await cursor.fetchall()
        found = [*findings.of_session(session), await pooling(conn, other)]
        ((level,),) = await (await conn.execute(findings.WAL_LEVEL)).fetchall()
        moves = await (await conn.execute(findings.MOVES)).fetchall()
        return found + findings.of_moves(level, moves)


async def _health(page: Page) -> list[Finding]:
    if page.may("health"):
        try:
            return await page.console.read(findings.of_health, statements.HEALTH)
        except StoreMovedError as error:
            return [findings.of_closed(error.conninfo, page.console.name)]
    return [findings.of_missing_right(page.rights.role, page.console.name)]


async def _applied(console: Console) -> dict[int, str] | None:
    try:
        return dict(await console.rows(statements.APPLIED_MIGRATIONS, console.name))
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
        return None
