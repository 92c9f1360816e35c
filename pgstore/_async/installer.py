"""Install, upgrade and check a store: the same files, in the same order, as sql/install.sql."""

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
from psycopg import AsyncConnection, Pipeline
from psycopg.rows import tuple_row

from pgstore._async.cursor import StoreCursor, run
from pgstore._core import sql_files
from pgstore._core.quoting import Statements
from pgstore._core.statements import APPLIED_MIGRATIONS, NEEDED_VERSION
from pgstore._core.translation import advised
from pgstore.errors import (
    MigrationEditedError,
    PgstoreError,
    StoreError,
    StoreNotInstalledError,
    StoreOutdatedError,
    StoreTooNewError,
)


async def ensure(
    conn: AsyncConnection[object], statements: Statements, *, create: bool | None
) -> None:
    """Make sure that this package can use the store; with `create`, install or upgrade it.

    `create` None is for a server that is to be a standby: the primary has to do it. If the server
    is another primary by mistake, an empty store there would hide that from readers for ever.

    A newer store is used as it is, unless a migration that this package does not know is breaking.
    The connection is in autocommit mode. A role that may not install, and a standby, get the error
    that says what to do.
    """
    applied = await applied_migrations(conn, statements)
    if applied == sql_files.checksums():
        return
    problem = problem_of(applied, statements.store)
    if isinstance(problem, StoreTooNewError) and await _fits(conn, statements, applied or {}):
        return
    if not create and not isinstance(problem, StoreError):
        if create is None and isinstance(problem, StoreNotInstalledError | StoreOutdatedError):
            problem.args = (f"{problem}, on the primary: read_conninfo is to lead to its standby",)
            problem.on_standby = True
        if problem is not None:
            raise problem
        return
    try:
        # Leave refusals to the installer: its errors have DETAIL.
        await install(conn, statements.store)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as denied:
        if isinstance(problem, StoreNotInstalledError | StoreOutdatedError):
            if isinstance(denied, psycopg.errors.ReadOnlySqlTransaction):
                problem.args = (
                    f"{problem}, on the primary: this server is a standby, or read-only",
                )
                problem.on_standby = True
            raise problem from None
        if problem is not None:
            raise problem from denied


async def _fits(
    conn: AsyncConnection[object], statements: Statements, applied: dict[int, str]
) -> bool:
    """Tell whether this package can use a store that is newer than it knows."""
    known = sql_files.migrations()[-1].number
    if problem_of({n: sum for n, sum in applied.items() if n <= known}, statements.store):
        return False
    try:
        ((needed,),) = await run(conn, statements[NEEDED_VERSION], ())
    except psycopg.errors.UndefinedFunction:
        return False
    return bool(needed <= known)


def problem_of(applied: dict[int, str] | None, name: str) -> PgstoreError | None:
    """The error that keeps this package from using the store; None if only its functions differ."""
    command = f"run: python -m pgstore install --store {shlex.quote(name)}"
    if applied == {}:
        return StoreNotInstalledError(
            f"schema {name!r} holds a store that was made under another name, whose functions find "
            "nothing there: rename the schema back"
        )
    if applied is None:
        return StoreNotInstalledError(f"there is no store {name!r} in this database; {command}")
    known = {number: checksum for number, checksum in sql_files.checksums().items() if number > 0}
    versions = f"store {name!r} is at schema version {max(applied, default=0)}, this package"
    if max(applied, default=0) > max(known):
        return StoreTooNewError(
            f"{versions} knows {max(known)}: use the release that installed it, or a newer one"
        )
    for number, checksum in known.items():
        if applied.get(number, checksum) != checksum:
            return MigrationEditedError(
                f"migration {number} of store {name!r} is not the one of this package:"
                " use unedited files of pgstore"
            )
    if known.keys() - applied.keys():
        return StoreOutdatedError(f"{versions} needs {max(known)}; {command}")
    return None


async def install(conn: AsyncConnection[object], name: str, *, message_db: bool = False) -> int:
    """Install or upgrade the store in one transaction; its schema version.

    With `message_db`, or where it stands already, Message DB's interface over it too. The
    connection is in autocommit mode. Safe to run again, and by several at once.
    """
    with advised(conn):
        async with conn.transaction():
            await _install(conn, name, message_db=message_db)
    return sql_files.migrations()[-1].number


async def remove_interface(conn: AsyncConnection[object]) -> None:
    """Remove Message DB's interface, as sql/message_db/remove.sql; the store stays as it is."""
    with advised(conn):
        async with conn.transaction():
            await conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            await _run_script(conn, sql_files.interface_removal())


async def _install(conn: AsyncConnection[object], name: str, *, message_db: bool) -> None:
    async with StoreCursor(conn, row_factory=tuple_row) as cursor:
        await cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        await cursor.execute("SET LOCAL client_min_messages = warning")
        await cursor.execute(
            "SELECT set_config('pgstore.schema', %s::text, true),"
            " set_config('pgstore.manifest', %s::text, true)",
            (name, sql_files.manifest()),
        )
        await _run_script(conn, sql_files.read("prepare.sql"))
        await cursor.execute("SELECT number FROM migrations", binary=True)
        applied = {number for (number,) in await cursor.fetchall()}
        await cursor.execute("SELECT current_setting('pgstore.has_interface')::boolean")
        ((has_interface,),) = await cursor.fetchall()
    pending = [each.text for each in sql_files.migrations() if each.number not in applied]
    scripts = [*pending, sql_files.repeated_sql(), sql_files.read("record.sql")]
    if message_db or has_interface:
        scripts.append(sql_files.interface_sql())
    await _run_script(conn, "".join(scripts))


async def _run_script(conn: AsyncConnection[object], script: str) -> None:
    """Run a script's statements one by one: a time-out and an error are of one of them."""
    statements, cursors = sql_files.statements(script), []
    try:
        async with _pipelined(conn):
            for statement in statements:
                cursors.append(StoreCursor(conn, row_factory=tuple_row))
                # Unprepared, whatever the connection's prepare_threshold.
                await cursors[-1].execute(statement, prepare=False)
    except psycopg.Error as error:
        done = sum(cursor.statusmessage is not None for cursor in cursors)
        if error.sqlstate and done < len(statements):
            error.add_note(f"in the statement: {statements[done].partition(chr(10))[0]}")
        raise


@asynccontextmanager
async def _pipelined(conn: AsyncConnection[object]) -> AsyncIterator[None]:
    """Send statements without waiting for the answers, where the driver can: locks are held."""
    if not Pipeline.is_supported():
        yield
        return
    async with conn.pipeline() as pipeline:
        try:
            yield
            await pipeline.sync()
        finally:
            # Later errors of the pipeline would hide the first one.
            settled = False
            while not settled:
                with suppress(psycopg.errors.PipelineAborted):
                    await pipeline.sync()
                    settled = True


async def applied_migrations(
    conn: AsyncConnection[object], statements: Statements
) -> dict[int, str] | None:
    """Checksums of the migrations that were applied, by number; None if there is no store."""
    try:
        return dict(await run(conn, statements[APPLIED_MIGRATIONS], (statements.store,)))
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
        return None
