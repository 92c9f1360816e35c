"""Installing as somebody who is no superuser."""

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.conftest import Connect
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import Install, by_python, catalog, write


@pytest.fixture
def as_superuser(dsn: str, schema: str) -> dict[str, list[object]]:
    """The catalog of a store that a superuser has installed, and dropped."""
    by_python(dsn, schema)
    found = catalog(dsn, schema)
    with psycopg.connect(dsn) as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
    return {kind: list(rows) for kind, rows in found.items()}


def test_role_that_may_create_schemas_can_install(
    role: str, make_database: MakeDatabase, install: Install
) -> None:
    dsn = make_database()
    own = make_conninfo(dsn, user=role)
    with psycopg.connect(dsn) as conn:
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
    dsn: str,
    schema: str,
    role: str,
    connect: Connect,
    install: Install,
    as_superuser: dict[str, list[object]],
    public: str,
) -> None:
    own = make_conninfo(dsn, user=role)
    name, owner = sql.Identifier(schema), sql.Identifier(role)
    with psycopg.connect(dsn) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(name, owner))
        if public:
            conn.execute(sql.SQL(public).format(name))
    install(own, schema)
    assert catalog(dsn, schema) == as_superuser
    install(own, schema)
    assert write(connect(user=role), schema) == (1, 1)


def test_functions_belong_to_whoever_installs(
    dsn: str, schema: str, role: str, connect: Connect, install: Install
) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                sql.Identifier(schema), sql.Identifier(role)
            )
        )
    install(make_conninfo(dsn, user=role), schema)
    owners = connect().execute(
        "SELECT DISTINCT p.proowner::regrole::text FROM pg_proc AS p"
        " WHERE p.pronamespace::regnamespace::text = %s",
        [schema],
    )
    assert owners.fetchall() == [(role,)]
