"""Attempts of every kind of role on everything in a store, and what came of them.

`tests/migrations/test_attempts.py` makes them, and compares them with `OUTCOMES`;
`tests.faults.report` makes the table in docs/reliability.md of the same.
"""

from collections.abc import Iterable

from tests.sql.store import Connection, Store

KINDS = ("read", "write", "consume", "monitor", "admin")

# What is attempted: functions and views that only one kind of rights gives, and so on.
GROUPS = {
    "read": "read messages",
    "write": "write",
    "consume": "consume",
    "monitor": "monitor",
    "admin": "delete, redact, retention, audit, import, export, verify",
    "owner": "grant, revoke",
    "internal": "internal functions",
    "tables": "tables and sequences",
}

# The roles that attempt it, and what they may do.
_NOTHING: frozenset[str] = frozenset()
OUTCOMES = {
    "owner": frozenset(GROUPS),
    "administrator": frozenset(KINDS),
    "writer": frozenset({"write"}),
    "writer of a category": frozenset({"write"}),
    "reader": frozenset({"read"}),
    "consumer": frozenset({"consume"}),
    "monitor": frozenset({"monitor"}),
    "role with CONNECT only": _NOTHING,
    "PUBLIC (a role that may use the schema)": _NOTHING,
}

# How the store came to be as it is.
WAYS = {
    "install": "installed",
    "upgrade": "upgraded from each released version",
    "dump": "restored with its rights, from plain text, custom, directory and tar of `pg_dump`",
    "no-acl": "restored without rights from each of these, installed again, granted again",
    "grant": "restored without rights, granted again without an installation",
    "missing role": "restored where a role with rights is missing, installed and granted again",
}

# Runs statements, undoes each, and tells how each ended: 42501 if it was refused.
_ATTEMPT = """
CREATE OR REPLACE FUNCTION pg_temp.attempt(statements text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  states text[] := '{}';
  each text;
BEGIN
  FOREACH each IN ARRAY statements LOOP
    BEGIN
      EXECUTE each;
      RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN OTHERS THEN
      states := states || SQLSTATE;
    END;
  END LOOP;
  RETURN states;
END
$$;
SET lock_timeout = '1s'
"""

_CALLS = """
SELECT p.proname, format('SELECT STORE.%%I(%%s)', p.proname, string_agg(
  CASE a.type
    WHEN 'text'::regtype THEN quote_literal('x')
    WHEN 'timestamptz'::regtype THEN quote_literal('now')
    WHEN 'jsonb'::regtype THEN quote_literal('{}')
    ELSE 'NULL'
  END || '::' || a.type::regtype,
  ', ' ORDER BY a.n
))
FROM pg_proc AS p
LEFT JOIN unnest(p.proargtypes) WITH ORDINALITY AS a (type, n) ON true
WHERE p.pronamespace = %s::regnamespace
GROUP BY p.oid
"""

_RELATIONS = """
SELECT c.relname, c.relkind::text FROM pg_class AS c
WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'v', 'S')
"""


def granted(store: Store) -> dict[str, set[str]]:
    """The functions and views of each kind of rights."""
    return {kind: {*store.call("_granted_names", kind)[0][0]} for kind in KINDS}


def statements(store: Store) -> dict[str, list[str]]:
    """Statements that use each function and view by its name; others under the name `tables`."""
    found = {name: [call] for name, call in store.query(_CALLS, [store.name])}
    # Refused for the category only if nothing else is wrong.
    found["write_messages"] = ['SELECT STORE.write_messages(\'x\', \'[{"type": "A", "data": 1}]\')']
    found["write_message"] = ["SELECT STORE.write_message('x', 'A', '1')"]
    found["write_arrays"] = ["SELECT STORE.write_arrays('x', '{A}', '{1}')"]
    found["synchronize_stream"] = ["SELECT STORE.synchronize_stream('x', '{}', '{A}', '{1}')"]
    tables = ["CREATE TABLE STORE.own (n int)", "DROP SCHEMA STORE CASCADE"]
    for name, kind in store.query(_RELATIONS, [store.name]):
        if kind == "v":
            found[name] = [f"SELECT FROM STORE.{name} LIMIT 1"]
        elif kind == "S":
            tables += [f"SELECT nextval('STORE.{name}')", f"SELECT setval('STORE.{name}', 1)"]
        else:
            tables += [
                f"SELECT FROM STORE.{name}",
                f"INSERT INTO STORE.{name} DEFAULT VALUES",
                f"DELETE FROM STORE.{name}",
                f"TRUNCATE STORE.{name}",
                f"LOCK TABLE STORE.{name} IN ACCESS EXCLUSIVE MODE",
            ]
    return found | {"tables": tables}


def refused(store: Store, on: Connection, texts: Iterable[str]) -> list[bool]:
    """Whether each statement is refused for want of a right. Nothing stays of any of them."""
    on.execute(_ATTEMPT.encode())
    ((states,),) = store.query(
        "SELECT pg_temp.attempt(%s)", [[text.replace("STORE", store.name) for text in texts]], on=on
    ).fetchall()
    return [state == "42501" for state in states]


def allowed(store: Store, on: Connection, tried: dict[str, list[str]]) -> set[str]:
    """Names of the functions and views that the session may use."""
    names = [name for name, texts in tried.items() for _ in texts]
    outcomes = refused(store, on, (text for texts in tried.values() for text in texts))
    return {name for name, no in zip(names, outcomes, strict=True) if not no}


def groups(store: Store, names: Iterable[str]) -> dict[str, set[str]]:
    """Names by their group; what several kinds of rights give is in none."""
    by_kind = granted(store)
    everything = {*names} - {"tables"}
    others = {name for kind in KINDS[:-1] for name in by_kind[kind]}
    owners = {name for name in everything if name.startswith(("grant_", "revoke_"))}
    return {
        **{
            kind: {
                name
                for name in by_kind[kind]
                if not any(name in by_kind[other] for other in KINDS[:-1] if other != kind)
            }
            for kind in KINDS
        },
        "admin": by_kind["admin"] - others,
        "owner": owners,
        "internal": everything - by_kind["admin"] - owners,
        "tables": {"tables"},
    }


def rows() -> list[list[str]]:
    """The table of outcomes: a row for each role, a cell for each group."""
    return [
        [
            role,
            *(
                "no"
                if group not in may
                else "its category"
                if (role, group) == ("writer of a category", "write")
                else "yes"
                for group in GROUPS
            ),
        ]
        for role, may in OUTCOMES.items()
    ]
