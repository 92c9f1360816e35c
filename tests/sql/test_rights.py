"""Who may do what, and what a caller cannot change about what the functions do."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import Connect
from tests.sql.store import Connection, Store, last_position, marks

Names = tuple[str, str]


@pytest.fixture
def role(store: Store) -> Iterator[str]:
    """A role that may log in, and to which nothing was granted."""
    name = f"role_{uuid4().hex[:12]}"
    store.query(f"CREATE ROLE {name} LOGIN")
    yield name
    store.query(f"DROP OWNED BY {name}")
    store.query(f"DROP ROLE {name}")


@pytest.fixture
def writer(store: Store, role: str, connect: Connect) -> Connection:
    """A session of a role that may execute write_message and nothing else."""
    store.query(f"GRANT USAGE ON SCHEMA STORE TO {role}")
    store.query(f"GRANT EXECUTE ON FUNCTION STORE.write_message TO {role}")
    return connect(user=role)


def routines(store: Store) -> list[Names]:
    """Every function of the store, with a call of it.

    No NULL texts, no NULL times: strict functions would not run.
    """
    rows = store.query(
        """
        SELECT p.proname, format('SELECT STORE.%%I(%%s)', p.proname, string_agg(
          CASE a.type
            WHEN 'text'::regtype THEN quote_literal('x')
            WHEN 'timestamptz'::regtype THEN quote_literal('now')
            ELSE 'NULL'
          END
            || '::' || a.type::regtype,
          ', ' ORDER BY a.n
        ))
        FROM pg_proc AS p
        LEFT JOIN unnest(p.proargtypes) WITH ORDINALITY AS a (type, n) ON true
        WHERE p.pronamespace = %s::regnamespace
        GROUP BY p.oid
        """,
        [store.name],
    )
    return [(name, call) for name, call in rows]


def relations(store: Store) -> list[Names]:
    """Every table, view and sequence of the store, with its kind."""
    rows = store.query(
        "SELECT c.relname, c.relkind::text FROM pg_class AS c"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'v', 'S')",
        [store.name],
    )
    return [(name, kind) for name, kind in rows]


def statements(store: Store) -> list[str]:
    """Reads and changes of every table, view and sequence."""
    found = []
    for name, kind in relations(store):
        found.append(f"SELECT FROM STORE.{name}")
        if kind == "S":
            found += [f"SELECT nextval('STORE.{name}')", f"SELECT setval('STORE.{name}', 1)"]
        elif kind == "r":
            found += [
                f"INSERT INTO STORE.{name} DEFAULT VALUES",
                f"DELETE FROM STORE.{name}",
                f"TRUNCATE STORE.{name}",
            ]
    return found


def test_public_may_do_nothing(store: Store, role: str, connect: Connect) -> None:
    conn = connect(user=role)
    for text in [call for _, call in routines(store)] + statements(store):
        with store.refused("42501"):
            store.query(text, on=conn)
    with store.refused("42501"):
        store.query("CREATE TABLE STORE.own (n int)", on=conn)


def test_public_may_do_nothing_even_inside_the_schema(
    store: Store, role: str, connect: Connect
) -> None:
    store.query(f"GRANT USAGE ON SCHEMA STORE TO {role}")
    test_public_may_do_nothing(store, role, connect)


def test_writer_may_write(store: Store, stream: str, writer: Connection) -> None:
    assert store.write(stream, on=writer, expected_version=0)[0] == 1
    with store.refused("MS001", stream=stream, actual_version=1):
        store.write(stream, on=writer, expected_version=0)
    with store.refused("22023", argument="type"):
        store.write(stream, "", "1", on=writer)


def test_writer_may_do_nothing_else(store: Store, writer: Connection) -> None:
    others = [call for name, call in routines(store) if name != "write_message"]
    assert len(others) > 10
    for text in others + statements(store):
        with store.refused("42501"):
            store.query(text, on=writer)
    for text in ("UPDATE STORE.messages SET type = 'x'", "DROP TABLE STORE.messages"):
        with store.refused("42501"):
            store.query(text, on=writer)


def _hijack_with_temporary_tables(store: Store, conn: Connection) -> None:
    for name, kind in relations(store):
        if kind == "S":
            conn.execute(f"CREATE TEMP SEQUENCE {name} START 5000".encode())
        else:
            conn.execute(f"CREATE TEMP TABLE {name} (stream_id bigint, stream text)".encode())


def _hijack_with_functions(store: Store, conn: Connection, schema: str) -> None:
    """Put functions of the names that the store calls into a schema."""
    arguments = {
        "hashtext(text)": "integer",
        "now()": "timestamptz",
        "clock_timestamp()": "timestamptz",
        "nextval(regclass)": "bigint",
        "pg_backend_pid()": "integer",
        "pg_advisory_xact_lock(integer, integer)": "void",
        "pg_advisory_xact_lock_shared(integer, integer)": "void",
        "octet_length(text)": "integer",
        "gen_random_uuid()": "uuid",
        "uuidv7()": "uuid",
        "_enter_flight()": "boolean",
        "_announce_write()": "void",
        "_create_stream(text)": "record",
        "new_message_id()": "uuid",
        "_refuse_write(text, bigint, text[], jsonb[], jsonb[], uuid[])": "void",
        "_mark_lock_class()": "integer",
        "category(text)": "text",
    }
    for signature, result in arguments.items():
        conn.execute(
            f"CREATE OR REPLACE FUNCTION {schema}.{signature} RETURNS {result} LANGUAGE plpgsql"
            " AS $$BEGIN RAISE EXCEPTION 'hijacked'; END$$".encode()
        )


def _write_everything(store: Store, conn: Connection, stream: str) -> None:
    for path in ("pg_temp", "hijack, pg_temp, public", "hijack, pg_temp, pg_catalog"):
        conn.execute(f"SET search_path TO {path}".encode())
        with conn.transaction():
            store.write(stream, on=conn)
            store.write(f"{stream}-{path}", on=conn)


def test_writer_with_own_objects_of_the_same_names_writes_as_ever(
    store: Store, stream: str, role: str, writer: Connection
) -> None:
    ((database,),) = store.query("SELECT current_database()").fetchall()
    store.query(f'GRANT CREATE, TEMPORARY ON DATABASE "{database}" TO {role}')
    writer.execute("CREATE SCHEMA hijack")
    try:
        _hijack_with_temporary_tables(store, writer)
        for schema in ("pg_temp", "hijack"):
            _hijack_with_functions(store, writer, schema)
        _write_everything(store, writer, stream)
    finally:
        store.query("DROP SCHEMA hijack CASCADE")
    assert [row[0] for row in store.stored(stream)] == [1, 2, 3]


def test_reader_with_own_objects_of_the_same_names_reads_as_ever(
    store: Store, stream: str, connect: Connect
) -> None:
    store.write(stream)
    conn = connect()
    _hijack_with_temporary_tables(store, conn)
    conn.execute("SET search_path TO pg_temp, pg_catalog")
    assert store.call("stream_version", stream, on=conn) == [(1,)]
    for function in ("read_stream", "last_message"):
        ((message_id, *_),) = store.call(function, stream, on=conn)
    assert len(store.call("get_message", message_id, on=conn)) == 1
    assert len(store.call("get_messages", [message_id], on=conn)) == 1
    assert store.call("schema_version", on=conn) == store.call("schema_version")


FORGED = [
    "2147483647",
    "9223372036854775807",
    "-1",
    "-9223372036854775808",
    "-4294967296",
    "0",
    "",
    "99999999999999999999999",
    "nonsense",
    "NaN",
    "1; SELECT 1",
    # Keys of positions to come: as such, and as old ones of which only 32 bits are kept.
    *[f"last{offset:+}" for offset in (1, 5, 2**31, 5 - 2**31, 5 - 2**32, 1 - 2**33)],
]


@pytest.mark.parametrize("far", [False, True], ids=["", "past 2^32"])
@pytest.mark.parametrize("has_written", [False, True])
@pytest.mark.parametrize("forged", FORGED)
def test_writer_cannot_do_without_its_mark(
    store: Store,
    stream: str,
    connect: Connect,
    forged: str,
    has_written: bool,
    far: bool,
) -> None:
    """Whatever the setting says, what it holds is taken for a bound below what it writes."""
    conn = connect(autocommit=False)
    if far and last_position(store) < 2**33:
        store.query("SELECT setval('STORE.global_position_seq', 8589934599)")
    last = last_position(store)
    value = str(last + int(forged[4:])) if forged.startswith("last") else forged
    if has_written:
        store.write(stream + "-before", on=conn)
    else:
        conn.execute("SELECT pg_current_xact_id()")
    store.query("SELECT set_config(STORE._mark_setting(), %s, true)", [value], on=conn)
    _, position = store.write(stream, on=conn)
    assert min(marks(store, conn)) < position


def test_session_setting_does_not_do_without_the_mark(
    store: Store, stream: str, connect: Connect
) -> None:
    conn = connect()
    last = last_position(store)
    store.query("SELECT set_config(STORE._mark_setting(), %s, false)", [str(last)], on=conn)
    for n in range(2):
        with conn.transaction():
            conn.execute("SELECT pg_current_xact_id()")
            _, position = store.write(f"{stream}-{n}", on=conn)
            assert min(marks(store, conn)) < position


def test_store_user_is_the_owner_inside_only(
    store: Store, stream: str, role: str, writer: Connection
) -> None:
    store.write(stream, on=writer)
    assert conninfo_to_dict(writer.info.dsn)["user"] == role
    assert writer.execute("SELECT current_user").fetchall() == [(role,)]
    assert writer.execute("SHOW search_path").fetchall() == [('"$user", public',)]
