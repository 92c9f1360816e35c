"""The two ways to install a store, and all that an installed store consists of."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from pgstore import embedded
from pgstore._core import sql_files

ROOT = Path(__file__).parents[2]
PSQL = embedded.Server().psql
PG_DUMP = embedded.Server().bin / "pg_dump"
LATEST = sql_files.migrations()[-1]

Rows = list[TupleRow]

_INSTALL = "import sys, pgstore; print(pgstore.install(sys.argv[1], store=sys.argv[2]))"


def psql_command(conninfo: str, name: str, sql_folder: Path = ROOT / "sql") -> list[str]:
    # Verbose: only then does it say an error's SQLSTATE.
    settings = ["-v", "VERBOSITY=verbose", "-v", f"schema={name}"]
    return [str(PSQL), "-X", "-q", "-d", conninfo, *settings, "-f", str(sql_folder / "install.sql")]


def python_command(conninfo: str, name: str) -> list[str]:
    return [sys.executable, "-c", _INSTALL, conninfo, name]


# Each for a process of its own.
COMMANDS = {"psql": psql_command, "python": python_command}


def environment(**more: str) -> dict[str, str]:
    """Without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"PYTHONPATH": str(ROOT)} | more


class PsqlError(Exception):
    """What psql said to an error of the server; attributes as psycopg's errors have them."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        lines = output.splitlines()
        error = next((line for line in lines if ": ERROR:  " in line or "FATAL:  " in line), "")
        self.sqlstate = error.partition(":  ")[2].partition(":")[0]
        detail = [line for line in lines if line.startswith("DETAIL:  ")]
        self.detail = detail[0].removeprefix("DETAIL:  ") if detail else None


def by_psql(conninfo: str, name: str, sql_folder: Path = ROOT / "sql", **variables: str) -> None:
    done = subprocess.run(
        psql_command(conninfo, name, sql_folder),
        env=environment(PGCLIENTENCODING="UTF8") | variables,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    if done.returncode != 0:
        raise PsqlError(done.stderr)


def by_python(conninfo: str, name: str) -> None:
    import pgstore

    assert pgstore.install(conninfo, store=name) == LATEST.number


Install = Callable[[str, str], None]
INSTALLERS: dict[str, Install] = {"psql": by_psql, "python": by_python}


def code_and_detail(error: BaseException) -> tuple[str | None, object]:
    """SQLSTATE and DETAIL of an installer's error."""
    if isinstance(error, PsqlError):
        return error.sqlstate, json.loads(error.detail) if error.detail else None
    assert isinstance(error, psycopg.Error), error
    detail = error.diag.message_detail
    return error.sqlstate, json.loads(detail) if detail else None


def copy(source: str, target: str, *options: str) -> None:
    """Dump a database and restore it into another one."""
    dump = subprocess.run(
        [str(PG_DUMP), "-d", source, *options], env=environment(), capture_output=True, check=True
    ).stdout
    # A setting that only the newest servers know.
    dump = re.sub(rb"(?m)^SET transaction_timeout = 0;$", b"", dump)
    restored = subprocess.run(
        [str(PSQL), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target],
        input=dump,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert (restored.returncode, restored.stderr) == (0, b"")


# Everything of a schema. No oids, no owners, no times: what two installations must have in common.
CATALOG = {
    "schema": """
        SELECT obj_description(n.oid, 'pg_namespace'), (
          SELECT count(*) FROM aclexplode(n.nspacl) AS a WHERE a.grantee <> n.nspowner
        )
        FROM pg_namespace AS n WHERE n.oid = %(schema)s
    """,
    "relations": """
        SELECT c.relname, c.relkind, c.relpersistence, c.reloptions::text,
          obj_description(c.oid, 'pg_class'),
          (SELECT array_agg(DISTINCT a.privilege_type || a.is_grantable ORDER BY
            a.privilege_type || a.is_grantable) FROM aclexplode(coalesce(
              c.relacl,
              acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner)
            )) AS a WHERE a.grantee = c.relowner),
          (SELECT count(*) FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner),
          pg_get_viewdef(c.oid)
        FROM pg_class AS c WHERE c.relnamespace = %(schema)s ORDER BY 1
    """,
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
          a.attidentity, a.attcollation::regcollation::text, a.attstorage, a.attacl::text,
          pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = %(schema)s ORDER BY 1, 2
    """,
    "indexes": """
        SELECT c.relname, pg_get_indexdef(c.oid)
        FROM pg_class AS c WHERE c.relnamespace = %(schema)s AND c.relkind = 'i' ORDER BY 1
    """,
    "constraints": """
        SELECT o.conrelid::regclass::text, o.conname, pg_get_constraintdef(o.oid), o.convalidated
        FROM pg_constraint AS o WHERE o.connamespace = %(schema)s ORDER BY 1, 2
    """,
    "sequences": """
        SELECT c.relname, s.seqtypid::regtype::text, s.seqstart, s.seqincrement, s.seqmax,
          s.seqmin, s.seqcache, s.seqcycle, pg_sequence_last_value(c.oid)
        FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid
        WHERE c.relnamespace = %(schema)s ORDER BY 1
    """,
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid),
          obj_description(p.oid, 'pg_proc'),
          (SELECT count(*) FROM aclexplode(p.proacl) AS a WHERE a.grantee <> p.proowner),
          p.proacl IS NULL
        FROM pg_proc AS p WHERE p.pronamespace = %(schema)s ORDER BY 1
    """,
    "types": """
        SELECT t.typname, t.typtype, obj_description(t.oid, 'pg_type'), t.typacl::text
        FROM pg_type AS t WHERE t.typnamespace = %(schema)s ORDER BY 1
    """,
    "migrations": "SELECT m.number, m.name, m.checksum FROM migrations AS m ORDER BY 1",
}


def catalog(conninfo: str, name: str) -> dict[str, Rows]:
    """What the schema holds, as seen from inside: with no schema named."""
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(name)))
        row = conn.execute(
            "SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s", [name]
        ).fetchone()
        assert row is not None
        return {
            kind: conn.execute(query.encode(), {"schema": row[0]}).fetchall()
            for kind, query in CATALOG.items()
        }


def tables(conninfo: str, name: str) -> list[str]:
    """Names of all relations and functions in a schema; nothing if there is no such schema."""
    with psycopg.connect(conninfo) as conn:
        return [
            row[0]
            for row in conn.execute(
                "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace::regnamespace::text = %s"
                " UNION SELECT p.proname FROM pg_proc AS p"
                " WHERE p.pronamespace::regnamespace::text = %s",
                [name, name],
            )
        ]


def write(conn: psycopg.Connection[TupleRow], name: str, stream: str = "a-1") -> tuple[int, int]:
    """Write a message with write_message; version and global position."""
    row = conn.execute(
        sql.SQL(
            "SELECT w.version, w.global_position FROM {}.write_message({}, 'A', '1') AS w"
        ).format(sql.Identifier(name), stream)
    ).fetchone()
    assert row is not None
    return row[0], row[1]
