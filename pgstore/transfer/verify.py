"""Verify: every promise checked against the data, and the store against this package."""

from collections.abc import Callable
from hashlib import sha256
from itertools import count
from uuid import uuid4

import msgspec
import psycopg
from psycopg import Connection

from pgstore._core import sql_files
from pgstore._core import statements as s
from pgstore._core.arguments import refuse_no_function, refuse_other
from pgstore._core.quoting import Statements
from pgstore._sync.cursor import run
from pgstore._sync.installer import applied_migrations, install, problem_of
from pgstore.errors import StoreNotInstalledError

# No right to create a schema; a standby; a transaction of the caller's of another isolation.
_CANNOT_CREATE = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.ActiveSqlTransaction,
)

_BODIES = """
SELECT p.proname, p.prosrc
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s::text)
  AND l.lanname = 'plpgsql'"""

# Definitions of a schema's objects that do not name the schema: it comes first on the search path.
_ON_PATH = "SELECT set_config('search_path', quote_ident(%s::text) || ', pg_temp', true)"
_DEFINITIONS = """
WITH store AS (
  SELECT
    n.oid,
    -- The ways to write the path of this store: quoted or not, which depends on the server's
    -- version, because each has keywords of its own.
    ARRAY[
      'search_path=' || quote_ident(n.nspname) || ', pg_temp',
      'search_path="' || replace(n.nspname, '"', '""') || '", pg_temp',
      'search_path=' || substring(n.nspname FROM '^[a-z_][a-z0-9_]*$') || ', pg_temp'
    ] AS paths
  FROM pg_namespace AS n
  WHERE n.nspname = current_schema()
)
SELECT
  'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
  pg_get_function_sqlbody(p.oid),
  json_build_array(
    pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.prokind, p.prolang,
    p.prosecdef, p.proleakproof, p.proisstrict, p.provolatile, p.proparallel, p.prosrc,
    ARRAY(
      SELECT CASE WHEN c.setting = ANY (s.paths) THEN 'search_path' ELSE c.setting END
      FROM unnest(p.proconfig) AS c (setting)
      ORDER BY 1
    )
  )::text
FROM store AS s
JOIN pg_proc AS p ON p.pronamespace = s.oid
UNION ALL
SELECT
  CASE c.relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || c.relname,
  NULL,
  json_build_array(
    c.relkind, c.relpersistence, pg_get_viewdef(c.oid),
    CASE c.relkind WHEN 'v' THEN c.reloptions END,
    EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhparent = c.oid),
    (
      SELECT json_agg(
        json_build_array(
          a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull,
          a.attgenerated, a.attidentity, pg_get_expr(d.adbin, d.adrelid)
        )
        ORDER BY a.attnum
      )
      FROM pg_attribute AS a
      LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    )
  )::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
UNION ALL
SELECT
  'constraint ' || o.conname || ' of ' || o.conrelid::regclass,
  NULL,
  json_build_array(pg_get_constraintdef(o.oid), o.convalidated)::text
FROM store AS s
JOIN pg_constraint AS o ON o.connamespace = s.oid AND o.contype <> 'n'
UNION ALL
SELECT
  'trigger ' || t.tgname || ' of ' || c.relname,
  NULL,
  json_build_array(pg_get_triggerdef(t.oid, true), t.tgenabled)::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid
JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal
UNION ALL
SELECT
  'index ' || n.relname,
  NULL,
  json_build_array(
    c.relname, n.relam, pg_get_expr(i.indpred, i.indrelid),
    ARRAY(
      SELECT pg_get_indexdef(i.indexrelid, k, false)
      FROM generate_series(1, i.indnatts::integer) AS k
      ORDER BY k
    ),
    -- The rest, but for what only the operator and the server are concerned with.
    to_jsonb(i)
      - '{indexrelid,indrelid,indkey,indexprs,indpred,indisclustered,indisreplident,indcheckxmin}'
        ::text[]
  )::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid
JOIN pg_index AS i ON i.indrelid = c.oid
JOIN pg_class AS n ON n.oid = i.indexrelid
UNION ALL
SELECT
  'sequence ' || c.relname,
  NULL,
  json_build_array(
    c.relpersistence, q.seqtypid, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
    q.seqcycle
  )::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid
JOIN pg_sequence AS q ON q.seqrelid = c.oid"""


class Check(msgspec.Struct, frozen=True):
    """A check: how many things it looked at, how many are wrong, and one of those."""

    check: str
    checked: int
    wrong: int
    example: str | None


PARTS = ("messages and tables", "migrations", "functions", "objects")


def verify(
    conn: Connection[object],
    *,
    store: str = "pgstore",
    begin: Callable[[str], None] | None = None,
) -> list[Check]:
    """Check a store. `verify_store()` does most of it; the package's own files are compared here.

    It reads the whole store, and makes an empty one to compare with, which is rolled back. Nobody
    has to wait for it. `begin` is called with the name of each of PARTS before it; an error that
    it raises ends the verification.

    Raises:
        StoreNotInstalledError: there is no such store.
        StoreOutdatedError: it is too old to be verified by this package.
    """
    refuse_other(conn, Connection)
    refuse_no_function("begin", begin, optional=True)
    statements = Statements(store)
    applied = applied_migrations(conn, statements)
    problem = problem_of(applied, store)
    if isinstance(problem, StoreNotInstalledError):
        raise problem
    tell = begin or (lambda part: None)
    tell("messages and tables")
    try:
        rows = run(conn, statements[s.VERIFY_STORE], ())
    except psycopg.errors.UndefinedFunction as error:  # of an older store
        raise problem or error from None
    checks = [Check(*row) for row in rows]
    tell("migrations")
    checks.append(_migrations(applied or {}))
    tell("functions")
    checks.append(_bodies(conn, store))
    tell("objects")
    checks.append(objects_in_store(conn, store))
    return checks


def _migrations(applied: dict[int, str]) -> Check:
    """The migrations that were applied are the ones of this package."""
    known = sql_files.checksums()
    numbers = sorted(known.keys() | applied.keys())
    wrong = [number for number in numbers if applied.get(number) != known.get(number)]
    example = None
    if wrong:
        what = f"migration {wrong[0]}" if wrong[0] else "the functions, views and grants"
        problem = (
            "not applied"
            if wrong[0] not in applied
            else "not known to this package"
            if wrong[0] not in known
            else "other than in this package"
        )
        example = f"{what}: {problem}"
    return Check("migrations are those of this package", len(numbers), len(wrong), example)


def _bodies(conn: Connection[object], store: str) -> Check:
    """The bodies of the functions are the ones in this package's files."""
    files = {path.stem: path.read_text(encoding="utf-8") for path in sql_files.repeated_files()}
    frozen = "".join(migration.text for migration in sql_files.migrations())
    bodies: list[tuple[str, str]] = run(conn, _BODIES, (store,))
    expected = {name for name, text in files.items() if "\nLANGUAGE plpgsql\n" in text}
    missing = expected - {name for name, _ in bodies}
    wrong = sorted(missing) + [
        name
        for name, body in sorted(bodies)
        # That of a closed store has a check of its own.
        if name != "_is_open" and f"$${body}$$" not in files.get(name, frozen)
    ]
    example = f"function {wrong[0]}" if wrong else None
    return Check(
        "functions are those of this package", len(bodies) + len(missing), len(wrong), example
    )


def objects_in_store(conn: Connection[object], store: str) -> Check:
    """All that the installer makes is as in a new store: tables, constraints, functions and all."""
    new = f"pgstore_verify_{uuid4().hex}"
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
            install(conn, new)
            expected = _definitions(conn, new)
            found = _definitions(conn, store)
    except _CANNOT_CREATE:
        expected, found = {}, {}  # the count tells
    # Indexes that somebody adds change nothing that is promised.
    names = expected.keys() | {name for name in found if not name.startswith("index ")}
    wrong = sorted(name for name in names if expected.get(name) != found.get(name))
    return Check(
        "objects are as in a new store", len(names), len(wrong), wrong[0] if wrong else None
    )


def _definitions(conn: Connection[object], store: str) -> dict[str, tuple[str | None, str]]:
    """Return the definition of each object of a store, without the store's name."""
    run(conn, _ON_PATH, (store,))
    found = {name: (body, rest) for name, body, rest in run(conn, _DEFINITIONS, ())}
    for name, value in _constants(store).items():
        body, rest = found.get(key := f"function {name}()", (None, ""))
        if body in (f"RETURN {value}", f"RETURN '{value}'::integer", f"RETURN '{value}'::text"):
            found[key] = "the store's", rest
    # Which of the two it says is a check of its own.
    body, rest = found.get(key := "function _writers_restricted()", (None, ""))
    if body == "RETURN true":
        found[key] = "RETURN false", rest
    # Nor how a fence closes the store.
    found.pop("function _is_open()", None)
    return {
        name: found[name] for name in found if not name.startswith("trigger store_is_closed of ")
    }


def _constants(store: str) -> dict[str, str]:
    """The values that migrations make of the store's name."""
    base = sha256(f"pgstore:{store}".encode()).hexdigest()
    classes = {name: _lock_class(base, name) for name in ("stream_lock_class", "bell_lock_class")}
    taken = set(classes.values())
    # As migrations 4, 7 and 11: so many consecutive classes that are none of the others.
    for name, size, attempts in (
        ("mark_lock_class", 65, count(0)),
        ("gate_lock_class", 1, count(1)),
        ("tag_lock_class", 1, count(1)),
    ):
        starts = (_lock_class(base, f"{name}{attempt or ''}") for attempt in attempts)
        runs = (range(start, start + size) for start in starts)
        found = next(run for run in runs if run.stop <= 2**31 and taken.isdisjoint(run))
        classes[name] = found.start
        taken.update(found)
    return {f"_{name}": str(number) for name, number in classes.items()} | {
        "_mark_setting": f"pgstore.mark_{base[:16]}",
        "wake_channel": f"pgstore_{base[:16]}",
    }


def _lock_class(base: str, name: str) -> int:
    return int.from_bytes(sha256(f"{base}{name}".encode()).digest()[:4], signed=True)
