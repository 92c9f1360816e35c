"""Generate docs/reference/sql.md from the catalog of an installed store.

`python tools/sql_reference.py` writes the page; with `--check` it writes nothing and exits 1
if the page differs. `--conninfo` names a server to use; without it a temporary one is started.
"""

import argparse
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

import pgstore
import pgstore.embedded

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reference/sql.md"

HEAD = """\
<!-- Generated from the catalog by `python tools/sql_reference.py`: edit the comments in sql/. -->

# SQL reference

Everything a store holds, as its own comments describe it. Functions are called with the store's
name in front, `bank.stream_version('account-1')`, and with parameters by place or by name,
`expected_version => 0`. A parameter with a default may be left out.

Words: see the [glossary](../glossary.md).

Call a function that answers with several columns in `FROM`: `SELECT * FROM bank.write_message(…)`.
PostgreSQL evaluates `SELECT (bank.write_message(…)).*` once for each column: it writes twice.
"""

# The comment of a table that is not for callers begins so; the page leaves it out.
INTERNAL = "Internal:"
FROZEN = "names"

# The order of the page: these areas first, in each of them these functions; then all the others.
AREAS = ["write", "read", "subscriptions", "leases", "parked", "positions", "in_flight"]
FUNCTIONS_FIRST = [
    *["write_message", "write_messages", "write_arrays", "write_group"],
    *["read_stream", "last_message", "stream_version", "read_category", "read_all", "read_page"],
    "read_page_json",
    *["create_subscription", "subscription_position", "list_subscriptions", "list_partitions"],
    *["claim_batch", "claim_partition", "fetch_batch", "acknowledge", "fail_message"],
    *["claim_batch_json", "fetch_batch_json"],
]

SHORT_TYPES = {"timestamp with time zone": "timestamptz"}

FUNCTIONS = """
SELECT
  p.proname,
  coalesce(obj_description(p.oid, 'pg_proc'), ''),
  p.proretset,
  format_type(p.prorettype, NULL),
  ARRAY(
    SELECT ARRAY[
      coalesce(a.mode, 'i'),
      coalesce(p.proargnames[a.place], '$' || a.place),
      format_type(a.type, NULL),
      pg_get_function_arg_default(p.oid, a.place::integer)
    ]
    FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes::text[])
      WITH ORDINALITY AS a (type, mode, place)
    ORDER BY a.place
  )
FROM pg_proc AS p
WHERE p.pronamespace = %s::regnamespace
ORDER BY p.proname
"""

RELATIONS = """
SELECT
  c.relname,
  coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type'), ''),
  ARRAY(
    SELECT ARRAY[
      a.attname::text,
      format_type(a.atttypid, a.atttypmod),
      coalesce(col_description(c.oid, a.attnum), '')
    ]
    FROM pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
  )
FROM pg_class AS c
WHERE c.relnamespace = %s::regnamespace AND c.relkind = ANY (%s)
ORDER BY c.relname
"""


class Function(NamedTuple):
    name: str
    comment: str
    returns_set: bool
    returns: str
    arguments: list[list[str | None]]

    def signature(self) -> str:
        inputs = [self.parameter(*a) for a in self.arguments if a[0] in ("i", "b", "v")]
        results = [f"{a[1]} {short(a[2])}" for a in self.arguments if a[0] in ("o", "b", "t")]
        if results:
            returns = ("TABLE " if self.returns_set else "") + f"({listed(results)})"
        else:
            returns = ("SETOF " if self.returns_set else "") + short(self.returns)
        return f"{self.name}({listed(inputs)}) → {returns}"

    @staticmethod
    def parameter(_: object, name: str | None, type_: str | None, default: str | None) -> str:
        if default is None:
            return f"{name} {short(type_)}"
        value = re.sub(r"^(NULL|'[^']*')::.*$", r"\1", default)
        return f"{name} {short(type_)} DEFAULT {value}"


class Relation(NamedTuple):
    name: str
    comment: str
    columns: list[list[str]]


def short(type_: str | None) -> str:
    return SHORT_TYPES.get(type_ or "", type_ or "")


def listed(parts: list[str]) -> str:
    return "\n  " + ",\n  ".join(parts) + "\n" if len(parts) > 1 else "".join(parts)


def read_catalog(conninfo: str) -> tuple[list[Function], dict[str, list[Relation]]]:
    """Install a store, read its functions and relations, and drop it."""
    name = f"reference_{uuid.uuid4().hex}"
    schema = sql.Identifier(name)
    pgstore.install(conninfo, store=name)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        try:
            # The store's own types are then written without the schema.
            conn.execute(sql.SQL("SET search_path TO {}").format(schema))
            functions = [Function(*row) for row in conn.execute(FUNCTIONS, [name])]
            relations = {
                title: [Relation(*row) for row in conn.execute(RELATIONS, [name, kinds])]
                for title, kinds in [("Views", ["v"]), ("Types", ["c"]), ("Tables", ["r", "p"])]
            }
        finally:
            conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))
    return functions, relations


def placed(first: list[str]) -> Callable[[str], tuple[int, str]]:
    """Return a key that sorts the names of a list as they are there, and others after them."""
    return lambda name: (first.index(name) if name in first else len(first), name)


def page(functions: list[Function], relations: dict[str, list[Relation]]) -> Iterator[str]:
    yield HEAD
    area_of = {path.stem: path.parent.name for path in ROOT.glob("sql/functions/*/*.sql")}
    public = [f for f in functions if not f.name.startswith("_")]
    # Frozen functions have no file of their own: they are in the migrations.
    for area in sorted({area_of.get(f.name, FROZEN) for f in public}, key=placed(AREAS)):
        yield f"\n## Functions: {area.replace('_', ' ')}\n"
        for function in sorted(public, key=lambda each: placed(FUNCTIONS_FIRST)(each.name)):
            if area_of.get(function.name, FROZEN) == area:
                yield f"\n### {function.name}\n\n```text\n{function.signature()}\n```\n"
                yield f"\n{function.comment}\n"
    for title, members in relations.items():
        shown = [relation for relation in members if not relation.comment.startswith(INTERNAL)]
        if shown:
            yield f"\n## {title}\n"
        for relation in shown:
            yield f"\n### {relation.name}\n\n{relation.comment}\n\n"
            yield "| column | type | meaning |\n| --- | --- | --- |\n"
            for column, type_, comment in relation.columns:
                meaning = " ".join(comment.split()).replace("|", "\\|")
                yield f"| `{column}` | `{short(type_)}` | {meaning} |\n"
    yield f"\n## Error codes\n\n{error_table()}"


def error_table() -> str:
    """Return the table of sql/README.md that holds the store's SQLSTATEs."""
    text = (ROOT / "sql/README.md").read_text()
    tables: list[str] = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return next(table for table in tables if "MS001" in table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if different")
    parser.add_argument("--conninfo", help="connection string of a server to use")
    options = parser.parse_args()
    if options.conninfo:
        text = "".join(page(*read_catalog(options.conninfo)))
    else:
        with pgstore.embedded.Server() as server:
            text = "".join(page(*read_catalog(server.conninfo)))
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    if options.check:
        print("docs/reference/sql.md is not up to date: run python tools/sql_reference.py")
        return 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
