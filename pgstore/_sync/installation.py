# Generated from pgstore/_async/installation.py by `python tools/unasync.py`.

"""Install, upgrade and check a store: the same files, in the same order, as sql/install.sql."""

import shlex

import psycopg
from psycopg import Connection
from psycopg.rows import tuple_row

from pgstore import _sql
from pgstore._statements import Statements
from pgstore._sync.cursor import StoreCursor
from pgstore.errors import (
    MigrationEditedError,
    PgstoreError,
    StoreError,
    StoreNotInstalledError,
    StoreOutdatedError,
    StoreTooNewError,
)


def ensure(conn: Connection[object], statements: Statements, name: str, *, create: bool) -> None:
    """Make sure that the store is the one of this package; with `create`, install or upgrade it.

    The connection is in autocommit mode. Who may not install gets the error that says what to do.
    """
    applied = _applied(conn, statements)
    if applied == _sql.checksums():
        return
    problem = _problem(applied, name)
    if not create and not isinstance(problem, StoreError):
        if problem is not None:
            raise problem
        return
    try:
        # What the installer refuses, it refuses better: with DETAIL.
        install(conn, name)
    except psycopg.errors.InsufficientPrivilege as denied:
        if problem is not None:
            raise problem from denied


def _problem(applied: dict[int, str] | None, name: str) -> PgstoreError | None:
    """What keeps this package from using the store; nothing if only its functions are others."""
    command = f"run: python -m pgstore install --store {shlex.quote(name)}"
    if applied == {}:
        return StoreNotInstalledError(
            f"schema {name!r} holds a store that was made under another name, whose functions find "
            "nothing there: rename the schema back"
        )
    if applied is None:
        return StoreNotInstalledError(f"there is no store {name!r} in this database; {command}")
    known = {number: checksum for number, checksum in _sql.checksums().items() if number > 0}
    versions = f"store {name!r} is at schema version {max(applied, default=0)}, this package"
    if max(applied, default=0) > max(known):
        return StoreTooNewError(f"{versions} knows {max(known)}: use a newer pgstore")
    for number, checksum in known.items():
        if applied.get(number, checksum) != checksum:
            return MigrationEditedError(f"migration {number} of store {name!r} is another one here")
    if known.keys() - applied.keys():
        return StoreOutdatedError(f"{versions} needs {max(known)}; {command}")
    return None


def install(conn: Connection[object], name: str) -> int:
    """Install or upgrade the store in one transaction; its schema version.

    The connection is in autocommit mode. Safe to run again, and by several at once.
    """
    with conn.transaction(), StoreCursor(conn, row_factory=tuple_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute("SET LOCAL client_min_messages = warning")
        cursor.execute(
            "SELECT set_config('pgstore.schema', %s::text, true),"
            " set_config('pgstore.manifest', %s::text, true)",
            (name, _sql.manifest()),
        )
        # Unprepared, whatever the connection's prepare_threshold: these are scripts.
        cursor.execute(_sql.read("prepare.sql"), prepare=False)
        cursor.execute("SELECT number FROM migrations", binary=True)
        applied = {number for (number,) in cursor.fetchall()}
        for migration in _sql.migrations():
            if migration.number not in applied:
                cursor.execute(migration.text, prepare=False)
        cursor.execute(_sql.repeated_sql(), prepare=False)
        cursor.execute(_sql.read("record.sql"), prepare=False)
    return _sql.migrations()[-1].number


def _applied(conn: Connection[object], statements: Statements) -> dict[int, str] | None:
    with StoreCursor(conn, row_factory=tuple_row) as cursor:
        try:
            cursor.execute(statements.applied_migrations, (), binary=True)
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction):
            return None
        return dict(cursor.fetchall())
