"""A store whose schema was renamed: refused, and no way to run code as its owner."""

import re
import subprocess

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import transfer
from tests.attempts import statements
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import (
    PG_DUMP,
    PSQL,
    Install,
    PsqlError,
    by_python,
    code_and_detail,
    environment,
    write,
)
from tests.sql.store import Store

# A function that tells as whom it ran, if that is not the one who made it.
_SPY = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.spy() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF current_user <> session_user THEN
    RAISE EXCEPTION 'runs as %', current_user USING ERRCODE = 'ZZ001';
  END IF;
  RETURN true;
END
$$;
GRANT USAGE ON SCHEMA hostile TO PUBLIC
"""

# Functions that neither read nor write.
WITHOUT_TABLES = {
    "begin_handling",
    "_bell_lock_class",
    "category",
    "_gate_lock_class",
    "_tag_lock_class",
    "_mark_lock_class",
    "needed_version",
    "new_message_id",
    "_open_marks",
    "_server_health",
    "_stream_lock_class",
    "wake_channel",
}

_COLUMNS = """
SELECT c.relname, c.relkind::text, string_agg(
  format('NULL::%%s AS %%I', format_type(a.atttypid, a.atttypmod), a.attname), ', '
  ORDER BY a.attnum
)
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'STORE'::regnamespace AND c.relkind IN ('r', 'v')
GROUP BY c.oid
"""


def rename(conninfo: str, old: str, new: str) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
        )


@pytest.mark.parametrize("name", ["bank", "My \"odd\" % 's' schéma"])
def test_renamed_store_is_refused_until_it_is_renamed_back(
    make_database: MakeDatabase, install: Install, name: str
) -> None:
    conninfo = make_database()
    install(conninfo, name)
    rename(conninfo, name, "renamed")
    # Not the new name, nor the old one: the functions in the schema would work on that store.
    for schema in ("renamed", name):
        with pytest.raises((psycopg.Error, PsqlError)) as caught:
            install(conninfo, schema)
        state, detail = code_and_detail(caught.value)
        assert (state, isinstance(detail, dict) and detail["schema"]) == ("55000", "renamed")
    install(conninfo, "other")
    with pytest.raises(pgstore.StoreNotInstalledError, match="another name"):
        pgstore.MessageStore[pgstore.RawMessage](
            conninfo, store="renamed", messages=pgstore.RawMessage, create=False
        ).stream_version("x")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        pgstore.MessageStore[pgstore.RawMessage](
            conninfo, store="renamed", messages=pgstore.RawMessage
        ).stream_version("x")
    rename(conninfo, "renamed", name)
    install(conninfo, name)
    with psycopg.connect(conninfo) as conn:
        assert write(conn, name) == (1, 1)


@pytest.mark.parametrize("hide", ["views", "domains"])
def test_functions_of_a_renamed_store_run_no_code_of_the_caller(
    role: str, make_database: MakeDatabase, hide: str
) -> None:
    """Their names of tables and types would mean temporary ones of the caller."""
    conninfo = make_database()
    by_python(conninfo, "bank")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        store = Store(conn, "bank")
        store.write("a-1")
        store.call("grant_access", role, "admin")
        tried = statements(store)
        views = {name for name, texts in tried.items() if "SELECT FROM" in texts[0]}
        relations = store.query(_COLUMNS.replace("%%", "%")).fetchall()
        conn.execute(f'GRANT CREATE ON DATABASE "{conn.info.dbname}" TO {role}'.encode())
        rename(conninfo, "bank", "renamed")
        hostile = psycopg.connect(make_conninfo(conninfo, user=role), autocommit=True)
        hostile.execute(_SPY)
        for name, kind, columns in relations:
            if hide == "views":
                hostile.execute(
                    f"CREATE TEMP VIEW {name} AS SELECT {columns} FROM hostile.spy()".encode()
                )
            elif kind == "r":
                hostile.execute(
                    f"CREATE DOMAIN pg_temp.{name} AS bigint CHECK (hostile.spy())".encode()
                )
        states: dict[str, tuple[str, str | None]] = {}
        for name, texts in tried.items():
            for text in texts:
                try:
                    hostile.execute(re.sub(r"\b(?:STORE|bank)\.", "renamed.", text).encode())
                    states[text] = (name, None)
                except psycopg.Error as error:
                    states[text] = (name, error.sqlstate)
        hostile.close()
        assert [text for text, (_, state) in states.items() if state == "ZZ001"] == []
        answered = {name for name, state in states.values() if state is None}
        assert answered - views == WITHOUT_TABLES
        rename(conninfo, "renamed", "bank")
        assert [check for check in transfer.verify(conn, store="bank") if check.wrong] == []


def test_dump_with_the_name_replaced_everywhere_works(make_database: MakeDatabase) -> None:
    source, target = make_database(), make_database()
    by_python(source, "bank")
    dump = subprocess.run(
        [str(PG_DUMP), "-d", source, "-n", "bank"],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    dump = re.sub(r"(?m)^SET transaction_timeout = 0;$", "", dump)
    subprocess.run(
        [str(PSQL), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target],
        env=environment(),
        input=re.sub(r"\bbank\b", "copied", dump),
        check=True,
        text=True,
    )
    by_python(target, "copied")
    with psycopg.connect(target, autocommit=True) as conn:
        assert write(conn, "copied") == (1, 1)
