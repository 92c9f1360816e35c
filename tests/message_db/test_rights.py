"""The interface gives no right by itself: the store's grants decide on each call."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from tests.message_db.conftest import STORE

Connection = psycopg.Connection[TupleRow]

WRITE = "SELECT message_store.write_message('{}', '{}', 'A', '{{}}')"
# Each is nearer to an expression of the interface than the one that it means.
TRAP = "LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END'"
TRAPS = [
    *("category(text) RETURNS varchar", "cardinal_id(text) RETURNS varchar"),
    *("hash_64(text) RETURNS bigint", "mod(bigint, smallint) RETURNS bigint"),
]
TRAP_OPERATORS = [
    *(("=", "trap_1", "text", "varchar"), ("=", "trap_2", "varchar", "text")),
    *(("=", "trap_3", "varchar", "varchar"), ("->>", "trap_4", "jsonb", "jsonb")),
]
CONDITION = "SET message_store.sql_condition = on"
READS = [
    "SELECT * FROM message_store.get_stream_messages('right-1')",
    f"{CONDITION}; SELECT * FROM message_store.get_stream_messages('right-1', condition => 'true')",
    "SELECT * FROM message_store.get_category_messages('right')",
    f"{CONDITION}; SELECT * FROM message_store.get_category_messages('right', condition => 'true')",
    "SELECT * FROM message_store.get_last_stream_message('right-1')",
    "SELECT message_store.stream_version('right-1')",
    "SELECT * FROM message_store.messages",
    "SELECT * FROM message_store._category_messages",
    "SELECT * FROM message_store.stream_summary",
    "SELECT * FROM message_store.type_summary",
    "SELECT * FROM message_store.stream_type_summary",
    "SELECT * FROM message_store.type_stream_summary",
    "SELECT * FROM message_store.category_type_summary",
    "SELECT * FROM message_store.type_category_summary",
]


@pytest.fixture
def owner(served: str) -> Iterator[Connection]:
    with psycopg.connect(served, autocommit=True) as conn:
        write(conn, "right-1")
        yield conn


@pytest.fixture
def role(owner: Connection) -> Iterator[str]:
    """A role that was granted nothing, but may call all of the interface."""
    name = f"role_{uuid4().hex[:12]}"
    called = sql.Identifier(name)
    owner.execute(sql.SQL("CREATE ROLE {}").format(called))
    for what in ("EXECUTE ON ALL FUNCTIONS", "SELECT ON ALL TABLES"):
        grant = f"GRANT {what} IN SCHEMA message_store TO {{}}"
        owner.execute(sql.SQL(grant).format(called))
    owner.execute(sql.SQL("GRANT USAGE ON SCHEMA message_store TO {}").format(called))
    yield name
    owner.execute("RESET ROLE")
    for kind in ("read", "write", "monitor"):
        owner.execute(f"SELECT {STORE}.revoke_access(%s, %s)".encode(), [name, kind])
    owner.execute(sql.SQL("DROP OWNED BY {}").format(called))
    owner.execute(sql.SQL("DROP ROLE {}").format(called))


def write(conn: Connection, stream: str, metadata: str | None = None) -> None:
    conn.execute(
        "SELECT message_store.write_message(%s, %s, 'A', '{}', %s)",
        [str(uuid4()), stream, metadata],
    )


def grant(conn: Connection, role: str, kind: str, categories: list[str] | None = None) -> None:
    conn.execute(f"SELECT {STORE}.grant_access(%s, %s, %s)".encode(), [role, kind, categories])


def act_as(conn: Connection, role: str) -> None:
    conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))


def refused(conn: Connection, text: str) -> bool:
    try:
        conn.execute(text.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


@pytest.mark.parametrize("kind", [None, "monitor", "write"])
def test_role_that_may_not_read_the_store_reads_nothing(
    owner: Connection, role: str, kind: str | None
) -> None:
    if kind:
        grant(owner, role, kind)
    act_as(owner, role)
    assert [text for text in READS if not refused(owner, text)] == []


def test_role_that_may_read_the_store_reads_but_does_not_write(
    owner: Connection, role: str
) -> None:
    grant(owner, role, "read")
    act_as(owner, role)
    assert [text for text in READS if refused(owner, text)] == []
    for text in (WRITE.format(uuid4(), "right-1"), WRITE.format(uuid4(), "new-1")):
        assert refused(owner, text)
    # Nothing about a stream, its version or its lock, either.
    assert refused(owner, "SELECT message_store._refuse_write(NULL, 'right-1', 'A', 77)")
    assert refused(owner, f"SELECT * FROM {STORE}.messages")
    owner.execute("RESET ROLE")
    assert (
        owner.execute(
            "SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid()"
        ).rowcount
        == 0
    )


def test_right_that_is_revoked_is_gone_in_the_interface_too(served: str, owner: Connection) -> None:
    try:
        owner.execute(f"SELECT {STORE}.revoke_access('message_store', 'read')".encode())
        act_as(owner, "message_store")
        assert [text for text in READS if not refused(owner, text)] == []
        write(owner, "right-1")
        owner.execute("RESET ROLE")
        owner.execute(f"SELECT {STORE}.revoke_access('message_store', 'write')".encode())
        act_as(owner, "message_store")
        assert refused(owner, WRITE.format(uuid4(), "right-1"))
    finally:
        owner.execute("RESET ROLE")
        grant(owner, "message_store", "read")
        grant(owner, "message_store", "write")


def test_writer_of_some_categories_writes_to_these_only(owner: Connection, role: str) -> None:
    grant(owner, role, "write", ["right"])
    act_as(owner, role)
    write(owner, "right-2")
    for text in (
        WRITE.format(uuid4(), "other-1"),
        # Not even by another error.
        "SELECT message_store.write_message('no uuid', 'other-1', 'A', '{}', NULL, 77)",
    ):
        assert refused(owner, text)
    owner.execute("RESET ROLE")
    act_as(owner, "message_store")
    write(owner, "other-1")


def test_member_of_the_role_has_its_rights(owner: Connection) -> None:
    owner.execute("CREATE ROLE message_db_member ROLE CURRENT_USER")
    try:
        owner.execute("GRANT message_store TO message_db_member")
        act_as(owner, "message_db_member")
        write(owner, "right-3")
        assert [text for text in READS if refused(owner, text)] == []
    finally:
        owner.execute("RESET ROLE")
        owner.execute("DROP ROLE message_db_member")


def test_condition_is_taken_only_where_the_setting_is_on(owner: Connection) -> None:
    reads = [text.partition("; ")[2] for text in READS if text.startswith(CONDITION)]

    def taken() -> bool:
        answers = set()
        for text in reads:
            try:
                answers.add(owner.execute(text.encode()).rowcount > 0)
            except psycopg.errors.RaiseException:
                answers.add(False)
        assert len(answers) == 1
        return answers.pop()

    assert not taken()
    with owner.transaction():
        owner.execute("SET LOCAL message_store.sql_condition = on")
        assert taken()
    assert not taken()
    for value in ("on", "ON", "true", "yes", "1"):
        owner.execute(f"SET message_store.sql_condition = '{value}'".encode())
        assert taken()
    for value in ("off", "OFF", "false", "no", "0", ""):
        owner.execute(f"SET message_store.sql_condition = '{value}'".encode())
        assert not taken()
    owner.execute("RESET message_store.sql_condition")
    assert not taken()


def test_condition_runs_with_the_rights_of_the_caller(owner: Connection) -> None:
    owner.execute(CONDITION)
    act_as(owner, "message_store")
    for condition in (
        f"EXISTS (SELECT FROM {STORE}.messages)",
        f"EXISTS (SELECT FROM {STORE}.truncate_stream(''right-1'', 1))",
        "pg_read_file(''PG_VERSION'') IS NOT NULL",
    ):
        for call in ("get_stream_messages('right-1'", "get_category_messages('right'"):
            assert refused(
                owner, f"SELECT * FROM message_store.{call}, condition => '{condition}')"
            )
    # And it leaves the session's path as it was.
    path = "SELECT current_setting('search_path')"
    before = owner.execute(path.encode()).fetchone()
    owner.execute(
        "BEGIN; SELECT * FROM message_store.get_stream_messages('right-1', condition => 'true')"
    )
    assert owner.execute(path.encode()).fetchone() == before
    owner.execute("COMMIT")


def test_objects_of_the_caller_with_the_names_of_the_store_change_nothing(
    owner: Connection, role: str
) -> None:
    """As in a schema that comes before, and in the session's temporary one."""
    grant(owner, role, "write")
    owner.execute(
        sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(
            sql.Identifier(owner.info.dbname), sql.Identifier(role)
        )
    )
    act_as(owner, role)
    owner.execute("CREATE TEMPORARY TABLE all_messages ()")
    owner.execute("CREATE TEMPORARY TABLE messages (message_id uuid)")
    owner.execute("CREATE TEMPORARY TABLE streams (stream text)")
    owner.execute("SET search_path = pg_temp, message_store, public")
    assert [text for text in READS if not refused(owner, text)] == []
    write(owner, "right-4")


def test_object_in_public_takes_no_name_of_the_interface_over(owner: Connection) -> None:
    """A role that may create there would otherwise get its code run by callers with a condition."""
    write(owner, "right-1", '{"correlationStreamName": "right-2"}')
    owner.execute(CONDITION)
    with owner.transaction(force_rollback=True):
        for function in TRAPS:
            owner.execute(f"CREATE FUNCTION public.{function} {TRAP}".encode())
        for name, function, left, right in TRAP_OPERATORS:
            owner.execute(
                f"CREATE FUNCTION public.{function}({left}, {right}) RETURNS boolean {TRAP};"
                f"CREATE OPERATOR public.{name}"
                f" (FUNCTION = public.{function}, LEFTARG = {left}, RIGHTARG = {right})".encode()
            )
        act_as(owner, "message_store")
        for call in (
            "get_stream_messages('right-1', 0, 10, '{}')",
            "get_category_messages('right', 1, 10, 'right', 0, 1, '{}')",
        ):
            found = call.format("messages.global_position > 0")
            assert owner.execute(f"SELECT FROM message_store.{found}".encode()).rowcount > 0


def test_nothing_is_open_to_everybody(owner: Connection) -> None:
    found = owner.execute(
        """
        SELECT p.proname FROM pg_proc AS p
        WHERE p.pronamespace = 'message_store'::regnamespace
          AND has_function_privilege('public', p.oid, 'EXECUTE')
        UNION ALL
        SELECT c.relname FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
        WHERE c.relnamespace = 'message_store'::regnamespace AND a.grantee = 0
        UNION ALL
        SELECT 'the schema' WHERE has_schema_privilege('public', 'message_store', 'USAGE, CREATE')
        """
    ).fetchall()
    assert found == []


def test_store_is_as_verify_wants_it(owner: Connection) -> None:
    found = owner.execute(
        f"SELECT v.check_name FROM {STORE}.verify_store() AS v WHERE v.wrong > 0".encode()
    ).fetchall()
    assert found == []
