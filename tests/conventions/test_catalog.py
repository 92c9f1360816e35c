"""What the catalog says about an installed store."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore
from tests.conventions.sqlfiles import FUNCTIONS, INTERFACE, function_of
from tests.message_db.conftest import database

# Each query answers the objects of the store %(store)s that break the rule.
RULES = {
    "every function has a comment": """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = %(store)s::regnamespace
          AND obj_description(p.oid, 'pg_proc') IS NULL
    """,
    "a function that is not for callers begins with an underscore, and its comment says so": """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = %(store)s::regnamespace
          AND starts_with(p.proname, '_')
            <> starts_with(obj_description(p.oid, 'pg_proc'), 'Internal: ')
    """,
    "every function for callers is granted or the owner's": """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = %(store)s::regnamespace
          AND NOT starts_with(p.proname, '_')
          AND p.proname <> ALL (_granted_names('admin'))
          AND p.proname NOT IN (
            'grant_access', 'revoke_access', 'repair_sequences', 'fence_store', 'lift_fence'
          )
    """,
    "every table and view has a comment": """
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = %(store)s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
          AND obj_description(c.oid, 'pg_class') IS NULL
          AND NOT EXISTS (
            SELECT FROM pg_type AS t
            WHERE t.typrelid = c.oid AND obj_description(t.oid, 'pg_type') IS NOT NULL
          )
    """,
    "every column has a comment": """
        SELECT c.relname || '.' || a.attname
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = %(store)s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
          AND col_description(c.oid, a.attnum) IS NULL
    """,
    "every domain and enum has a comment": """
        SELECT t.typname FROM pg_type AS t
        WHERE t.typnamespace = %(store)s::regnamespace AND t.typtype IN ('d', 'e', 'r')
          AND obj_description(t.oid, 'pg_type') IS NULL
    """,
    "every plpgsql and every SECURITY DEFINER function is pinned to its store": """
        SELECT p.proname
        FROM pg_proc AS p
        JOIN pg_language AS l ON l.oid = p.prolang
        WHERE p.pronamespace = %(store)s::regnamespace AND (l.lanname = 'plpgsql' OR p.prosecdef)
          AND NOT EXISTS (
            SELECT FROM unnest(p.proconfig) AS setting
            WHERE translate(setting, ' "', '') = 'search_path=' || %(pinned)s || ',pg_temp'
          )
    """,
    # A statement that PostgreSQL compiles takes some hundred milliseconds longer, whatever it does.
    # What is planned inside of these functions has their settings (tests/plans/test_jit.py).
    "every function for callers does without JIT": """
        SELECT p.proname
        FROM pg_proc AS p
        JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
        WHERE p.pronamespace = %(store)s::regnamespace
          AND p.proname = ANY (_granted_names('admin'))
          AND NOT coalesce('jit=off' = ANY (p.proconfig), false)
    """,
    # Before version 18, what is switched off but cannot be avoided costs 1e10 more.
    "every function that fixes its plans does without JIT": """
        SELECT p.proname
        FROM pg_proc AS p
        WHERE p.pronamespace = %(store)s::regnamespace
          AND EXISTS (SELECT FROM unnest(p.proconfig) AS s (setting) WHERE s.setting ~ '^enable_')
          AND NOT 'jit=off' = ANY (p.proconfig)
    """,
    # A cost that forbids one plan also prices the others: above jit_above_cost they are compiled.
    "no function changes what the planner thinks that things cost": """
        SELECT p.proname || ': ' || s.setting
        FROM pg_proc AS p
        CROSS JOIN unnest(p.proconfig) AS s (setting)
        WHERE p.pronamespace = %(store)s::regnamespace
          AND (s.setting ~ '^[a-z_]*_cost=' OR s.setting ~ '^effective_cache_size=')
    """,
    "no function is overloaded": """
        SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = %(store)s::regnamespace
        GROUP BY p.proname HAVING count(*) > 1
    """,
    "there are only functions, in SQL and PL/pgSQL": """
        SELECT p.proname
        FROM pg_proc AS p
        JOIN pg_language AS l ON l.oid = p.prolang
        WHERE p.pronamespace = %(store)s::regnamespace
          AND (p.prokind <> 'f' OR l.lanname NOT IN ('sql', 'plpgsql'))
    """,
    "no argument has a default that calls a function": """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = %(store)s::regnamespace
          AND pg_get_expr(p.proargdefaults, 0) ~ '\\('
    """,
    "PUBLIC may execute no function": """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = %(store)s::regnamespace
          AND has_function_privilege('public', p.oid, 'EXECUTE')
    """,
    "PUBLIC has no right on a table, view or sequence": """
        SELECT c.relname
        FROM pg_class AS c
        CROSS JOIN aclexplode(c.relacl) AS a
        WHERE c.relnamespace = %(store)s::regnamespace AND a.grantee = 0
        UNION ALL
        SELECT a.attname
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid
        CROSS JOIN aclexplode(a.attacl) AS r
        WHERE c.relnamespace = %(store)s::regnamespace AND r.grantee = 0
    """,
    "PUBLIC may not create in the store": """
        SELECT %(store)s WHERE has_schema_privilege('public', %(store)s, 'CREATE')
    """,
    "no column is an identity": """
        SELECT c.relname || '.' || a.attname
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = %(store)s::regnamespace AND a.attidentity <> ''
    """,
    "no column draws from a sequence by itself": """
        SELECT d.adrelid::regclass::text
        FROM pg_attrdef AS d
        JOIN pg_class AS c ON c.oid = d.adrelid
        WHERE c.relnamespace = %(store)s::regnamespace
          AND pg_get_expr(d.adbin, d.adrelid) ~ 'nextval'
    """,
    "there is no trigger and no rule": """
        SELECT t.tgname
        FROM pg_trigger AS t
        JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE c.relnamespace = %(store)s::regnamespace AND NOT t.tgisinternal
        UNION ALL
        SELECT r.rulename
        FROM pg_rewrite AS r
        JOIN pg_class AS c ON c.oid = r.ev_class
        WHERE c.relnamespace = %(store)s::regnamespace AND r.rulename <> '_RETURN'
    """,
    "no constraint leaves the store": """
        SELECT o.conname
        FROM pg_constraint AS o
        JOIN pg_class AS c ON c.oid = o.confrelid
        WHERE o.connamespace = %(store)s::regnamespace AND c.relnamespace <> o.connamespace
    """,
    "an index is named after its table, columns and kind": """
        SELECT i.relname
        FROM pg_index AS x
        JOIN pg_class AS i ON i.oid = x.indexrelid
        JOIN pg_class AS c ON c.oid = x.indrelid
        WHERE c.relnamespace = %(store)s::regnamespace
          AND i.relname !~ ('^' || c.relname || '_.*(pkey|key|idx)$')
    """,
    "a check is named after its table": """
        SELECT o.conname
        FROM pg_constraint AS o
        JOIN pg_class AS c ON c.oid = o.conrelid
        WHERE o.connamespace = %(store)s::regnamespace AND o.contype = 'c'
          AND o.conname !~ ('^' || c.relname || '_.*check$')
    """,
}


@pytest.fixture(scope="module")
def store(server_conninfo: str) -> Iterator[str]:
    """Install one store for all tests here: they only look at it."""
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    yield name
    with psycopg.connect(server_conninfo) as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.mark.parametrize("query", RULES.values(), ids=RULES.keys())
def test_rule(query: str, conninfo: str, store: str) -> None:
    with psycopg.connect(conninfo, options=f"-c search_path={store}") as conn:
        names = {"store": store, "pinned": store}
        assert conn.execute(query.encode(), names).fetchall() == []


# The rules that are not about the store's own kinds of rights, or its tables.
OF_THE_INTERFACE = [name for name, query in RULES.items() if "_granted_names" not in query]


@pytest.fixture(scope="module")
def interface(server_conninfo: str) -> Iterator[str]:
    """Install Message DB's interface, in a database of its own; its connection string."""
    with database(server_conninfo) as conninfo:
        pgstore.install(conninfo, store="bank", message_db=True)
        yield conninfo


@pytest.mark.parametrize("rule", OF_THE_INTERFACE)
def test_rule_in_the_interface_of_message_db(rule: str, interface: str) -> None:
    with psycopg.connect(interface) as conn:
        names = {"store": "message_store", "pinned": "bank"}
        assert conn.execute(RULES[rule].encode(), names).fetchall() == []


def wrong_headers(conninfo: str, schema: str, files: list[Path]) -> dict[str, object]:
    with psycopg.connect(conninfo) as conn:
        rows = conn.execute(
            """
            SELECT
              p.proname,
              CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE'
                ELSE 'VOLATILE' END,
              CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED'
                ELSE 'PARALLEL UNSAFE' END,
              CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END
            FROM pg_proc AS p
            WHERE p.pronamespace = %s::regnamespace
            """,
            [schema],
        ).fetchall()
    installed = {name: [word for word in words if word is not None] for name, *words in rows}
    words = r"(?m)^(IMMUTABLE|STABLE|VOLATILE|PARALLEL \w+|SECURITY DEFINER)"
    written = {path.stem: re.findall(words, function_of(path)["header"]) for path in files}
    assert written
    return {
        name: (header, installed.get(name))
        for name, header in written.items()
        if header != installed.get(name)
    }


def test_functions_are_as_their_files_say(conninfo: str, store: str, interface: str) -> None:
    assert wrong_headers(conninfo, store, FUNCTIONS) == {}
    assert wrong_headers(interface, "message_store", INTERFACE) == {}
