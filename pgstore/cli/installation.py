"""Making, upgrading, describing and removing a store."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pgstore._core import sql_files
from pgstore._core import statements as s
from pgstore._core.version import package_version
from pgstore.cli._app import Yes, command, flag, group, option
from pgstore.cli._call import Call, Session
from pgstore.cli._errors import NOT_FOUND, USAGE, WRONG_STORE, CommandError
from pgstore.cli._script import script
from pgstore.cli._values import volume

if TYPE_CHECKING:
    from pgstore.embedded import BackgroundServer

PANEL = "The store"

_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'r'
"""

_FENCE = "SELECT f.new_conninfo FROM STORE.fence_of_store() AS f"

# The store that Message DB's interface is over, by the catalog: a function in a schema of that name
# may be a stranger's.
_INTERFACE = """
SELECT (
  SELECT (parse_ident(left(substr(s.setting, length('search_path=') + 1), -length(', pg_temp'))))[1]
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace
  CROSS JOIN unnest(p.proconfig) AS s (setting)
  WHERE n.nspname = 'message_store' AND p.proname = '_store'
)
"""


@command("install", panel=PANEL)
def install(
    call: Call,
    message_db: Annotated[
        bool, flag("Install Message DB's interface over the store too.", "--message-db")
    ] = False,
) -> None:
    """Install a store, or upgrade it; safe to repeat.

    One transaction. The role needs the right to create a schema, or to own one of this name that is
    empty. With --message-db, Message DB's clients can use the store: in the schema message_store.

    \b
      pgstore install --conninfo postgresql://localhost/demo --store bank
    """
    from pgstore._sync import installer

    with call.connect(check=False) as session:
        version = installer.install(session.conn, call.store, message_db=message_db)
    served = ", and Message DB's clients can use it" if message_db else ""
    call.out.done(
        f"Store {call.store} is at schema version {version}{served}.",
        store=call.store,
        schema_version=version,
        message_db=message_db,
    )


@command("upgrade", panel=PANEL)
def upgrade(
    call: Call,
    dry_run: Annotated[bool, flag("Print the SQL, change nothing.", "--dry-run")] = False,
    check: Annotated[
        bool, flag("Change nothing; exit with 6 if there is something to do.", "--check")
    ] = False,
) -> None:
    """Bring a store to this package's schema version.

    One that is missing is an error. Message DB's interface comes along, if it is over the store.

    \b
      pgstore upgrade --check || pgstore upgrade
      pgstore upgrade --dry-run > upgrade.sql
    """
    from pgstore._sync import installer
    from pgstore.errors import StoreError

    with call.connect(check=False) as session:
        applied = _applied(call, session)
        current = applied == sql_files.checksums()
        if not (check or dry_run):
            version = installer.install(session.conn, call.store)
            said = "is up to date" if current else f"is at schema version {version}"
            call.out.done(
                f"Store {call.store} {said}.",
                store=call.store,
                schema_version=version,
                changed=not current,
            )
            return
        problem = installer.problem_of(applied, call.store)
        if isinstance(problem, StoreError):
            raise problem
        if check:
            _tell_whether_current(call, applied, current=current)
        elif current:
            _tell_sql(call, f"-- Store {call.store} is up to date.".replace("\n", " ") + "\n")
        else:
            has_interface = session.value(_INTERFACE) == call.store
            _tell_sql(call, script(call.store, applied=max(applied), message_db=has_interface))


@command("status", panel=PANEL)
def status(call: Call) -> None:
    """Show where the store is, and its version.

    \b
      pgstore status --store bank
    """
    with call.connect(check=False) as session:
        # Nothing secret.
        shown = ("host", "port", "dbname", "user")
        parts = [(name, getattr(session.conn.info, name)) for name in shown]
        applied = _applied(call, session)
        size = session.value(_SIZE, [call.store])
        version = session.value("SELECT current_setting('server_version')")
        newest = sql_files.migrations()[-1].number
        state = "up to date" if applied == sql_files.checksums() else "run pgstore upgrade"
        if max(applied) > newest:
            state = "newer than this package"
        if place := _fence(session):
            state = f"closed; the store is at {place}"
        call.out.record(
            {
                "store": call.store,
                "schema_version": max(applied),
                "package": f"pgstore {package_version()}, schema version {newest}",
                "state": state,
                "server": f"PostgreSQL {version}",
                "connection": " ".join(f"{name}={value}" for name, value in parts if value),
                "found_by": call.target.found_by,
                "size": size if call.out.json else volume(size),
            }
        )


@command("sql", panel=PANEL)
def print_sql(
    call: Call,
    applied: Annotated[
        int, option("VERSION", "The store's schema version.", "--from", least=0)
    ] = 0,
    transaction: Annotated[
        bool,
        flag(
            "With BEGIN and COMMIT; without, for a tool that opens a transaction itself.",
            "--transaction/--no-transaction",
        ),
    ] = True,
    message_db: Annotated[
        bool, flag("With Message DB's interface over the store.", "--message-db")
    ] = False,
) -> None:
    """Print the store as one SQL script, for migration tools.

    Plain SQL, no psql commands. With --from, what brings a store of that schema version to this
    package's. A script without --message-db is refused where Message DB's interface is over the
    store.

    \b
      pgstore sql --store bank > migrations/0042_bank.sql
    """
    newest = sql_files.migrations()[-1].number
    if applied > newest:
        raise CommandError(
            f"--from: this package brings schema version {newest}, not {applied}", code=USAGE
        )
    text = script(call.store, applied=applied, transaction=transaction, message_db=message_db)
    _tell_sql(call, text)


@command("sql-path", panel=PANEL)
def sql_path(call: Call) -> None:
    """Print the folder that holds install.sql, for psql.

    \b
      psql -v schema=bank -f "$(pgstore sql-path)/install.sql"
    """
    call.out.done(str(sql_files.ROOT), path=str(sql_files.ROOT))


@command("uninstall", panel=PANEL)
def uninstall(
    call: Call,
    message_db: Annotated[
        bool, flag("Only Message DB's interface; no message is lost.", "--message-db")
    ] = False,
    yes: Yes = False,
) -> None:
    """Drop the store with all its messages. Asks first.

    The answer is the store's name. Message DB's interface goes with the store that it is over.

    \b
      pgstore uninstall --store bank
    """
    from psycopg import sql

    from pgstore._sync import installer

    with call.connect(check=False) as session:
        has_interface = session.value(_INTERFACE) == call.store
        if message_db:
            _remove_interface(call, session, has_interface, yes=yes)
            return
        _applied(call, session, hint=None)
        count = session.value(s.COUNT_MESSAGES)
        question = f"Store {call.store} holds {count} messages. They will be gone."
        call.out.confirm(question, yes=yes, answer=call.store)
        with session.conn.transaction():
            session.conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            if has_interface:
                installer.remove_interface(session.conn)
            drop = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(call.store))
            session.conn.execute(drop)
    call.out.done(f"Store {call.store} is gone.", store=call.store, messages=count)


def _remove_interface(call: Call, session: Session, has_interface: bool, *, yes: bool) -> None:
    from pgstore._sync import installer

    if not has_interface:
        raise CommandError(
            f"there is no interface of Message DB over store {call.store!r}", code=NOT_FOUND
        )
    question = f"Message DB's clients will not find store {call.store} any more."
    call.out.confirm(question, yes=yes, answer=call.store)
    installer.remove_interface(session.conn)
    call.out.done(f"Store {call.store} is without Message DB's interface.", store=call.store)


@command("demo", panel=PANEL)
def show_demo(call: Call) -> None:
    """Show what pgstore does, on a server of its own."""
    from pgstore import demo  # needs a Unix

    raise typer.Exit(demo.main())


server = group("server", panel=PANEL, help="The embedded server of your data folder.")


@command("start", of=server)
def server_start(call: Call) -> None:
    """Start it if it does not run.

    Commands that are given no database start it by themselves. It runs until it is stopped.
    """
    from pgstore.cli import _embedded

    _tell_server(call, _embedded.started(call.out))


@command("stop", of=server)
def server_stop(call: Call) -> None:
    """Stop it now, even while clients are connected. Its data stays."""
    from pgstore.cli import _embedded

    with _embedded.told("not stopped"):
        stopped = _embedded.server().end()
    said = "has stopped" if stopped else "does not run"
    call.out.done(f"The server in {_embedded.folder()} {said}.", stopped=stopped)


@command("status", of=server)
def server_status(call: Call) -> None:
    """Show whether it runs, where, since when, and until when. Exits with 4 if it does not run."""
    from pgstore.cli import _embedded

    _tell_server(call, _embedded.server())


@command("conninfo", of=server)
def server_conninfo(call: Call) -> None:
    """Start it if it does not run, and print its connection string.

    \b
      psql "$(pgstore server conninfo)"
    """
    from pgstore.cli import _embedded

    found = _embedded.started(call.out)
    call.out.done(found.conninfo, conninfo=found.conninfo, folder=str(found.folder))


def _tell_server(call: Call, server: "BackgroundServer") -> None:
    started_at = server.started_at
    if started_at is None:
        call.out.record({"state": "stopped", "folder": str(server.folder)})
        raise typer.Exit(NOT_FOUND)
    until = "pgstore server stop" if server.in_background else "the program that started it ends"
    call.out.record(
        {
            "state": "running",
            "folder": str(server.folder),
            "since": started_at,
            "until": until,
            "conninfo": server.conninfo,
        }
    )


def _tell_sql(call: Call, text: str) -> None:
    """A script as it is, for a file; to programs a document that holds it."""
    if call.out.json:
        call.out.document({"sql": text})
    else:
        sys.stdout.write(text)


def _tell_whether_current(call: Call, applied: dict[int, str], *, current: bool) -> None:
    newest = sql_files.migrations()[-1].number
    version = max(applied)
    said = "is up to date"
    if version != newest:
        said = f"is at schema version {version}, this package brings {newest}"
    elif not current:
        said = f"has the functions of another release of schema version {newest}"
    call.out.done(
        f"Store {call.store} {said}.",
        store=call.store,
        schema_version=version,
        newest_schema_version=newest,
        current=current,
    )
    if not current:
        raise typer.Exit(WRONG_STORE)


def _fence(session: Session) -> str | None:
    """Where a closed store is instead; None also for a role, or a store, that cannot tell."""
    from psycopg.errors import InsufficientPrivilege, UndefinedFunction

    try:
        return next((row["new_conninfo"] for row in session.rows(_FENCE)), None)
    except (InsufficientPrivilege, UndefinedFunction):
        return None


def _applied(
    call: Call, session: Session, *, hint: str | None = "pgstore install --store {}"
) -> dict[int, str]:
    """Return the applied migrations; raise an error if there is no store."""
    from pgstore._sync import installer

    applied = installer.applied_migrations(session.conn, call.statements)
    if not applied:
        raise CommandError(
            f"there is no store {call.store!r} in this database",
            code=WRONG_STORE,
            hint=hint and hint.format(shlex.quote(call.store)),
        )
    return applied
