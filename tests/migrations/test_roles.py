"""Installing as somebody who is no superuser."""

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.conftest import Connect
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import Install, by_python, catalog, write
from tests.released import install_released


@pytest.fixture
def as_superuser(conninfo: str, schema: str) -> dict[str, list[object]]:
    """The catalog of a store that a superuser has installed, and dropped."""
    by_python(conninfo, schema)
    found = catalog(conninfo, schema)
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
    return {kind: list(rows) for kind, rows in found.items()}


def test_role_that_may_create_schemas_can_install(
    role: str, make_database: MakeDatabase, install: Install
) -> None:
    conninfo = make_database()
    own = make_conninfo(conninfo, user=role)
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                sql.Identifier(conn.info.dbname), sql.Identifier(role)
            )
        )
    install(own, "bank")
    install(own, "bank")
    with psycopg.connect(own) as conn:
        assert write(conn, "bank") == (1, 1)


@pytest.mark.parametrize("public", ["", "GRANT ALL ON SCHEMA {} TO PUBLIC"])
def test_role_that_only_owns_the_schema_can_install(
    conninfo: str,
    schema: str,
    role: str,
    connect: Connect,
    install: Install,
    as_superuser: dict[str, list[object]],
    public: str,
) -> None:
    own = make_conninfo(conninfo, user=role)
    name, owner = sql.Identifier(schema), sql.Identifier(role)
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(name, owner))
        if public:
            conn.execute(sql.SQL(public).format(name))
    install(own, schema)
    assert catalog(conninfo, schema) == as_superuser
    install(own, schema)
    assert write(connect(user=role), schema) == (1, 1)


def test_functions_belong_to_whoever_installs(
    conninfo: str, schema: str, role: str, connect: Connect, install: Install
) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                sql.Identifier(schema), sql.Identifier(role)
            )
        )
    install(make_conninfo(conninfo, user=role), schema)
    owners = connect().execute(
        "SELECT DISTINCT p.proowner::regrole::text FROM pg_proc AS p"
        " WHERE p.pronamespace::regnamespace::text = %s",
        [schema],
    )
    assert owners.fetchall() == [(role,)]


@pytest.mark.parametrize("version", [None, 1])
def test_default_privileges_of_the_installer_give_nobody_anything(
    conninfo: str, schema: str, role: str, connect: Connect, install: Install, version: int | None
) -> None:
    """Of what it makes; rights on what an upgrade finds are somebody's own."""
    conn = connect()
    kinds = ("SCHEMAS", "TABLES", "SEQUENCES", "FUNCTIONS")
    if version is not None:
        install_released(conninfo, schema, version)
        store = sql.Identifier(schema)
        conn.execute(
            sql.SQL(
                "GRANT USAGE ON SCHEMA {0} TO {1}; GRANT EXECUTE ON FUNCTION {0}.read_stream TO {1}"
            ).format(store, sql.Identifier(role))
        )
    for kind in kinds:
        conn.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO {role}".encode())
    try:
        install(conninfo, schema)
        install(conninfo, schema)
    finally:
        for kind in kinds:
            conn.execute(f"ALTER DEFAULT PRIVILEGES REVOKE ALL ON {kind} FROM {role}".encode())
    rights = conn.execute(
        "SELECT n.nspname FROM pg_namespace AS n WHERE n.nspname = %(store)s"
        " AND has_schema_privilege(%(role)s, n.oid, 'USAGE, CREATE')"
        " UNION ALL SELECT c.relname FROM pg_class AS c"
        " WHERE c.relnamespace = %(store)s::regnamespace AND c.relkind IN ('r', 'v', 'S')"
        " AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(%(role)s, c.oid, 'USAGE, UPDATE')"
        " ELSE has_table_privilege(%(role)s, c.oid, 'SELECT, INSERT, DELETE') END"
        " UNION ALL SELECT p.proname FROM pg_proc AS p"
        " WHERE p.pronamespace = %(store)s::regnamespace"
        " AND has_function_privilege(%(role)s, p.oid, 'EXECUTE')",
        {"store": schema, "role": role},
    ).fetchall()
    assert rights == ([] if version is None else [(schema,), ("read_stream",)])


def test_upgrade_locks_no_table_of_another_role(
    conninfo: str, schema: str, role: str, connect: Connect, install: Install
) -> None:
    """Of several migrations, which lock all tables of the store."""
    install_released(conninfo, schema, 4)
    conn = connect(autocommit=False)
    table = sql.Identifier(schema, "of_another")
    conn.execute(sql.SQL("CREATE TABLE {} ()").format(table))
    conn.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(table, sql.Identifier(role)))
    conn.commit()
    conn.execute(sql.SQL("SELECT FROM {}").format(table))
    install(conninfo, schema)


@pytest.mark.parametrize("moved", [False, True])
def test_a_right_moves_to_another_function_of_its_name_only_if_its_own_is_gone(
    conninfo: str, schema: str, role: str, connect: Connect, install: Install, moved: bool
) -> None:
    """Migration 11 gives write_message other parameters; a function of ours has its name."""
    install_released(conninfo, schema, 5)
    conn = connect()
    given = "write_message(text, text, jsonb, jsonb, bigint, uuid)" if moved else "write_message()"
    conn.execute(
        sql.SQL(
            "CREATE FUNCTION {0}.write_message() RETURNS bigint LANGUAGE sql RETURN 1;"
            "GRANT USAGE ON SCHEMA {0} TO {1}; GRANT EXECUTE ON FUNCTION {0}.{2} TO {1}"
        ).format(sql.Identifier(schema), sql.Identifier(role), sql.SQL(given))
    )
    install(conninfo, schema)
    rights = conn.execute(
        "SELECT p.pronargs, has_function_privilege(%s, p.oid, 'EXECUTE') FROM pg_proc AS p"
        " WHERE p.pronamespace = %s::regnamespace AND p.proname = 'write_message' ORDER BY 1",
        [role, schema],
    )
    assert rights.fetchall() == [(0, not moved), (9, moved)]
