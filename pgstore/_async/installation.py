"""Install, upgrade and check a store: the same files, in the same order, as sql/install.sql."""

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from pgstore import _sql
from pgstore._statements import Statements
from pgstore.errors import StoreNotInstalledError, StoreOutdatedError


async def ensure(
    conn: AsyncConnection[object], statements: Statements, name: str, *, create: bool
) -> None:
    """Make sure that the store is the one of this package; with `create`, install or upgrade it.

    The connection is in autocommit mode.
    """
    applied = await _applied(conn, statements)
    if applied == _sql.checksums():
        return
    known = {number: checksum for number, checksum in _sql.checksums().items() if number > 0}
    command = f"run: python -m pgstore install --store {name!r}"
    if create:
        await install(conn, name)
    elif applied is None:
        raise StoreNotInstalledError(f"there is no store {name!r} in this database; {command}")
    elif any(known.get(number) != checksum for number, checksum in applied.items() if number > 0):
        # Newer or edited: the installer refuses it, saying which.
        await install(conn, name)
    elif known.keys() - applied.keys():
        raise StoreOutdatedError(
            f"store {name!r} is at schema version {max(applied)}, this package needs "
            f"{max(known)}; {command}"
        )


async def install(conn: AsyncConnection[object], name: str) -> int:
    """Install or upgrade the store in one transaction; its schema version.

    The connection is in autocommit mode. Safe to run again, and by several at once.
    """
    async with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        await cursor.execute("SET LOCAL client_min_messages = warning")
        await cursor.execute(
            "SELECT set_config('pgstore.schema', %s::text, true),"
            " set_config('pgstore.manifest', %s::text, true)",
            (name, _sql.manifest()),
        )
        await cursor.execute(_sql.read("prepare.sql"))
        await cursor.execute("SELECT number FROM migrations")
        applied = {number for (number,) in await cursor.fetchall()}
        for migration in _sql.migrations():
            if migration.number not in applied:
                await cursor.execute(migration.text)
        await cursor.execute(_sql.repeated_sql())
        await cursor.execute(_sql.read("record.sql"))
    return _sql.migrations()[-1].number


async def _applied(conn: AsyncConnection[object], statements: Statements) -> dict[int, str] | None:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        try:
            await cursor.execute(statements.applied_migrations)
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
            return None
        return dict(await cursor.fetchall())
