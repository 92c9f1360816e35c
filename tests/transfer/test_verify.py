"""Each check of verify sees what it is there for."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

import pgstore
from pgstore import transfer
from tests.stores import Stores
from tests.transfer.conftest import Place, taken_place

UNIQUE = "ALTER TABLE STORE.messages DROP CONSTRAINT messages_{}_key"
COPY = (
    "INSERT INTO STORE.messages (global_position, stream_id, version, category_key, added_at,"
    " message_id, type, data) SELECT {position}, {stream}, {version}, m.category_key, m.added_at,"
    " {id}, m.type, m.data FROM STORE.messages AS m WHERE m.global_position = 3"
)


def copy(
    position: str = "nextval('STORE.global_position_seq')",
    stream: str = "m.stream_id",
    version: str = "m.version",
    id: str = "gen_random_uuid()",
) -> str:
    return COPY.format(position=position, stream=stream, version=version, id=id)


# How a store is broken, and the check that tells.
BREAKS: dict[str, tuple[list[str], str]] = {
    "a gap": (
        ["DELETE FROM STORE.messages AS m WHERE m.version = 2 AND m.stream_id = 1"],
        "versions have no gaps",
    ),
    "a missing beginning": (
        ["DELETE FROM STORE.messages AS m WHERE m.version = 1 AND m.stream_id = 1"],
        "versions have no gaps",
    ),
    "a floor above messages": (
        ["UPDATE STORE.streams AS s SET floor = 1 WHERE s.stream_id = 1"],
        "versions have no gaps",
    ),
    "two messages in the wrong order": (
        [
            UNIQUE.format("stream_id_version"),
            "UPDATE STORE.messages AS m SET version = 4 - m.version WHERE m.stream_id = 1",
        ],
        "positions rise with versions",
    ),
    "a message without a stream": ([copy(stream="77", version="1")], "messages have a stream"),
    "another category's key": (
        ["UPDATE STORE.messages AS m SET category_key = 5 WHERE m.global_position = 3"],
        "messages have the category of their stream",
    ),
    "metadata that is no object": (
        ["UPDATE STORE.messages AS m SET metadata = '[]' WHERE m.global_position = 3"],
        "messages are well formed",
    ),
    "a time that no client can read": (
        ["UPDATE STORE.messages AS m SET added_at = '20000-01-01' WHERE m.global_position = 3"],
        "messages are well formed",
    ),
    "an early time": (
        ["UPDATE STORE.messages AS m SET added_at = '0044-03-15 BC' WHERE m.global_position = 3"],
        "messages are well formed",
    ),
    "no type": (
        ["UPDATE STORE.messages AS m SET type = '' WHERE m.global_position = 3"],
        "messages are well formed",
    ),
    "a tag that does not lead to its message": (
        ["DELETE FROM STORE.message_tags AS t WHERE t.tag_key = STORE._tag_key('b')"],
        "tags lead to their messages",
    ),
    "a tag of no message": (
        ["INSERT INTO STORE.message_tags VALUES (STORE._tag_key('a'), 1000)"],
        "tags lead to their messages",
    ),
    "a tag of a message without it": (
        ["INSERT INTO STORE.message_tags VALUES (STORE._tag_key('c'), 3)"],
        "tags lead to their messages",
    ),
    "a message with other tags than lead to it": (
        ["UPDATE STORE.messages AS m SET tags = '{a}' WHERE m.tags = '{a,b}'"],
        "tags lead to their messages",
    ),
    "a message that has lost its tags": (
        ["UPDATE STORE.messages AS m SET tags = NULL WHERE m.tags = '{a,b}'"],
        "tags lead to their messages",
    ),
    "tags out of order": (
        ["UPDATE STORE.messages AS m SET tags = '{b,a}' WHERE m.tags = '{a,b}'"],
        "messages are well formed",
    ),
    "a tag twice": (
        ["UPDATE STORE.messages AS m SET tags = '{a,b,b}' WHERE m.tags = '{a,b}'"],
        "messages are well formed",
    ),
    "tags that are none": (
        ["UPDATE STORE.messages AS m SET tags = '{}' WHERE m.global_position = 3"],
        "messages are well formed",
    ),
    "an id twice": (
        [UNIQUE.format("message_id"), copy(version="4", id="m.message_id")],
        "message ids are unique",
    ),
    "a version twice": (
        [UNIQUE.format("stream_id_version"), copy()],
        "versions are unique in their stream",
    ),
    "a position twice": (
        [
            "ALTER TABLE STORE.messages DROP CONSTRAINT messages_global_position_pkey",
            copy(position="3", version="4"),
        ],
        "global positions are unique",
    ),
    "a position that was not given": (
        [copy(position="1000000", version="4")],
        "global positions are not above the sequence",
    ),
    "a stream in another category": (
        ["UPDATE STORE.streams AS s SET category = 'b' WHERE s.stream_id = 1"],
        "streams have the category of their name",
    ),
    "a stream of an id that was not given": (
        ["UPDATE STORE.streams AS s SET stream_id = 99 WHERE s.stream = 'empty-1'"],
        "streams are well formed",
    ),
    "a stream that lost all": (
        ["DELETE FROM STORE.messages AS m WHERE m.stream_id = 1"],
        "streams have messages or were cut off",
    ),
    "a stream twice": (
        [
            "ALTER TABLE STORE.streams DROP CONSTRAINT streams_stream_key",
            "UPDATE STORE.streams AS s SET stream = 'a-1', category = 'a', category_key ="
            " STORE._category_key('a') WHERE s.stream = 'empty-1'",
        ],
        "names and ids of streams are unique",
    ),
    "a snapshot of a version that its stream has not": (
        ["UPDATE STORE.snapshots AS n SET version = 4"],
        "snapshots are of versions of their streams",
    ),
    "a snapshot of what was cut off": (
        [
            "DELETE FROM STORE.messages AS m WHERE m.version < 3 AND m.stream_id = 1",
            "UPDATE STORE.streams AS s SET floor = 2 WHERE s.stream_id = 1",
            "UPDATE STORE.snapshots AS n SET version = 1",
        ],
        "snapshots are of versions of their streams",
    ),
    "a snapshot of no stream": (
        ["UPDATE STORE.snapshots AS n SET stream_id = 77"],
        "snapshots are of versions of their streams",
    ),
    "an index that misses rows": (
        [
            "UPDATE pg_index SET indisready = false WHERE indexrelid ="
            " 'STORE.messages_message_id_key'::regclass",
            copy(version="4"),
            "UPDATE pg_index SET indisready = true WHERE indexrelid ="
            " 'STORE.messages_message_id_key'::regclass",
        ],
        "indexes find every message",
    ),
    "an index of streams that misses rows": (
        [
            "UPDATE pg_index SET indisready = false WHERE indexrelid ="
            " 'STORE.streams_stream_key'::regclass",
            "INSERT INTO STORE.streams (stream_id, category_key, stream, category) VALUES"
            " (nextval('STORE.stream_id_seq'), STORE._category_key('new'), 'new-1', 'new')",
            "UPDATE pg_index SET indisready = true WHERE indexrelid ="
            " 'STORE.streams_stream_key'::regclass",
        ],
        "indexes find every stream",
    ),
    "an index of tags that misses rows": (
        [
            "UPDATE pg_index SET indisready = false WHERE indexrelid ="
            " 'STORE.message_tags_tag_key_global_position_pkey'::regclass",
            "INSERT INTO STORE.message_tags SELECT STORE._tag_key('c'), m.global_position"
            " FROM STORE.messages AS m WHERE m.tags = '{a,b}'",
            "UPDATE STORE.messages AS m SET tags = '{a,b,c}' WHERE m.tags = '{a,b}'",
            "UPDATE pg_index SET indisready = true WHERE indexrelid ="
            " 'STORE.message_tags_tag_key_global_position_pkey'::regclass",
        ],
        "indexes find every tag",
    ),
    "a partition that is gone": (
        ["DELETE FROM STORE.subscription_partitions AS p WHERE p.partition = 1"],
        "subscriptions have all their partitions",
    ),
    "a sweep that is gone": (
        ["DELETE FROM STORE.subscription_sweeps"],
        "subscriptions have all their partitions",
    ),
    "a checkpoint beyond the store": (
        ["UPDATE STORE.subscription_partitions AS p SET checkpoint = 1000000"],
        "checkpoints are within the store",
    ),
    "an only partition's swept position beyond the store": (
        [
            "SELECT STORE.create_subscription('only')",
            "UPDATE STORE.subscription_partitions AS p SET swept_position = 1000000"
            " WHERE p.swept_position >= 0",
        ],
        "checkpoints are within the store",
    ),
    "a stopped partition without a message that failed": (
        ["UPDATE STORE.subscription_partitions AS p SET stopped = true"],
        "partitions are well formed",
    ),
    "a partition of no subscription": (
        ["DELETE FROM STORE.subscriptions"],
        "checkpoints are within the store",
    ),
    "a parked message that is gone": (
        [
            "INSERT INTO STORE.parked_messages (subscription_id, global_position, partition,"
            " attempts, parked_at, replay) VALUES (1, 1000, 0, 1, now(), false)"
        ],
        "parked messages belong to subscriptions",
    ),
    "a list that lost what waits": (
        [
            "SELECT STORE.create_subscription('waits', partitions => 2)",
            "SELECT STORE.claim_partition('{waits}', 'w')",
            "DELETE FROM STORE.subscription_work",
        ],
        "what waits in partitions is listed",
    ),
    "a dropped constraint": (
        [UNIQUE.format("message_id")],
        "unique indexes are there and valid",
    ),
    "a dropped key of tags": (
        [
            "ALTER TABLE STORE.message_tags"
            " DROP CONSTRAINT message_tags_tag_key_global_position_pkey"
        ],
        "unique indexes are there and valid",
    ),
    "an index that is not valid": (
        [
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid ="
            " 'STORE.messages_message_id_key'::regclass"
        ],
        "unique indexes are there and valid",
    ),
    "a trigger": (
        [
            "CREATE TRIGGER t BEFORE INSERT ON STORE.messages FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ],
        "tables have no triggers, rules or row security",
    ),
    "row security": (
        ["ALTER TABLE STORE.messages ENABLE ROW LEVEL SECURITY"],
        "tables have no triggers, rules or row security",
    ),
    "another owner": (
        ["ALTER TABLE STORE.streams OWNER TO pg_monitor"],
        "everything belongs to the owner of the store",
    ),
    "a function for everybody": (
        ["GRANT EXECUTE ON FUNCTION STORE.category TO PUBLIC"],
        "nothing is open to everybody",
    ),
    "a column for everybody": (
        ["GRANT SELECT (data) ON STORE.messages TO PUBLIC"],
        "nothing is open to everybody",
    ),
    "a new function": (
        ["CREATE FUNCTION STORE.mine() RETURNS int LANGUAGE sql RETURN 1"],
        "nothing is open to everybody",
    ),
    "a role that may delete": (
        ["GRANT DELETE ON STORE.messages TO pg_monitor"],
        "nobody but the owner may write to tables",
    ),
    "a role that may draw positions": (
        ["GRANT USAGE ON SEQUENCE STORE.global_position_seq TO pg_monitor"],
        "nobody but the owner may write to tables",
    ),
    "a role that may make functions": (
        ["GRANT CREATE ON SCHEMA STORE TO pg_monitor"],
        "what is for the owner is granted to nobody",
    ),
    "a role that may grant": (
        ["GRANT EXECUTE ON FUNCTION STORE.grant_access TO pg_monitor"],
        "what is for the owner is granted to nobody",
    ),
    "a right that was given by hand": (
        ["GRANT EXECUTE ON FUNCTION STORE.read_stream TO pg_monitor"],
        "roles have nothing but what was granted to them",
    ),
    "a right that may be given on": (
        [
            "SELECT STORE.grant_access('pg_monitor', 'read')",
            "GRANT SELECT ON STORE.all_messages TO pg_monitor WITH GRANT OPTION",
        ],
        "roles have nothing but what was granted to them",
    ),
    "a column that a role may read": (
        ["GRANT SELECT (data) ON STORE.messages TO pg_monitor"],
        "roles have nothing but what was granted to them",
    ),
    "a role that may use the schema": (
        ["GRANT USAGE ON SCHEMA STORE TO pg_monitor"],
        "roles have nothing but what was granted to them",
    ),
    "a right that is lost": (
        [
            "SELECT STORE.grant_access('pg_monitor', 'read')",
            "REVOKE EXECUTE ON FUNCTION STORE.read_stream FROM pg_monitor",
        ],
        "roles have what was granted to them",
    ),
    "a view that is lost": (
        [
            "SELECT STORE.grant_access('pg_monitor', 'read')",
            "REVOKE SELECT ON STORE.all_messages FROM pg_monitor",
        ],
        "roles have what was granted to them",
    ),
    "a sequence that is behind": (
        [
            "SELECT STORE.set_retention('a', max_count => 1)",
            "UPDATE STORE.audit AS a SET audit_id = 1000",
        ],
        "sequences are at what they gave",
    ),
    "a function with the caller's path": (
        ["ALTER FUNCTION STORE.write_message RESET search_path"],
        "functions are pinned to the store",
    ),
    "an edited migration": (
        ["UPDATE STORE.migrations AS m SET checksum = 'x' WHERE m.number = 2"],
        "migrations are those of this package",
    ),
    "an edited function": (
        [
            "CREATE OR REPLACE FUNCTION STORE.stream_version(stream text) RETURNS bigint LANGUAGE"
            " plpgsql STABLE AS 'BEGIN RETURN 7; END'"
        ],
        "functions are those of this package",
    ),
    "a fence with a gap": (
        ["INSERT INTO STORE.store_fence VALUES (now(), 'host=elsewhere', 'x')"],
        "a fence closes all tables or none",
    ),
    "a restriction that does not hold": (
        ["INSERT INTO STORE.grants (role, kind, categories) VALUES ('x', 'write', '{a}')"],
        "writers are restricted as granted",
    ),
    "a missing function": (
        ["DROP FUNCTION STORE.read_stream"],
        "functions are those of this package",
    ),
} | {
    f"objects: {statement}": ([statement], "objects are as in a new store")
    for statement in (
        "CREATE OR REPLACE FUNCTION STORE._acting_role() RETURNS text LANGUAGE sql STABLE PARALLEL"
        " SAFE RETURN 'postgres'",
        "CREATE OR REPLACE FUNCTION STORE._mark_lock_class() RETURNS integer LANGUAGE sql IMMUTABLE"
        " PARALLEL SAFE RETURN 7",
        "ALTER FUNCTION STORE.write_message SECURITY INVOKER",
        "ALTER FUNCTION STORE.safe_position STABLE",
        "ALTER FUNCTION STORE.apply_retention RESET lock_timeout",
        "DROP VIEW STORE.type_statistics",
        "CREATE OR REPLACE VIEW STORE.all_messages AS SELECT m.message_id, s.stream, m.version,"
        " m.global_position, m.type, m.data, m.metadata, m.added_at, m.tags"
        " FROM STORE.messages AS m JOIN STORE.streams AS s USING (stream_id) WHERE m.version > 1",
        "ALTER TABLE STORE.streams DROP CONSTRAINT streams_stream_check",
        "ALTER TABLE STORE.messages ADD CHECK (version < 7) NOT VALID",
        "ALTER TABLE STORE.messages ALTER data DROP NOT NULL",
        "ALTER TABLE STORE.streams ALTER floor DROP DEFAULT",
        "ALTER TABLE STORE.messages ADD COLUMN more integer",
        "ALTER TABLE STORE.messages SET UNLOGGED",
        "CREATE TABLE STORE.more () INHERITS (STORE.messages)",
        "DROP INDEX STORE.subscription_heads_subscription_id_head_idx",
        "ALTER SEQUENCE STORE.global_position_seq CACHE 10",
        "ALTER SEQUENCE STORE.global_position_seq CYCLE",
        "ALTER SEQUENCE STORE.global_position_seq MAXVALUE 1000",
        "DROP SEQUENCE STORE.audit_id_seq",
    )
}


# What verify compares with the package's files. The other checks are a function of the store.
OF_THE_PACKAGE = {
    "migrations are those of this package",
    "functions are those of this package",
    "objects are as in a new store",
}


@pytest.fixture(scope="module")
def store(stores: Stores, server_conninfo: str) -> Iterator[Place]:
    """A store that nothing is wrong with."""
    with taken_place(stores, server_conninfo) as place:
        for stream in ("a-1", "b-1", "a-1", "b-1", "a-1"):
            place.write(stream, tags=["a", "b"] if stream == "b-1" else None)
        place.query("SELECT STORE.create_subscription('all', partitions => 2)")
        place.query("SELECT STORE.claim_partition('{all}', worker => 'me')")
        place.query("SELECT STORE.save_snapshot('a-1', 's', 1, 3, '{}', 0)")
        place.write("empty-1")
        place.query("DELETE FROM STORE.messages AS m WHERE m.global_position = 6")
        place.query("UPDATE STORE.streams AS s SET floor = 1 WHERE s.stream = 'empty-1'")
        # As small as they are, these tables could as well be read without their indexes.
        place.query("ANALYZE STORE.messages, STORE.streams")
        yield place


def test_nothing_is_wrong_with_a_store(store: Place) -> None:
    checks = transfer.verify(store.conn, store=store.name)
    assert [check for check in checks if check.wrong] == []
    assert [check for check in checks if check.example is not None] == []
    counts = {check.check: check.checked for check in checks}
    assert counts["versions have no gaps"] == 5
    assert counts["checkpoints are within the store"] >= 3


@pytest.mark.parametrize("name", BREAKS)
def test_check_tells_what_is_broken(store: Place, name: str) -> None:
    statements, expected = BREAKS[name]
    with store.conn.transaction(force_rollback=True):
        for statement in statements:
            store.query(statement)
        checks = by_sql(store) if expected not in OF_THE_PACKAGE else verified(store)
        if name == "a gap":
            assert checks == verified(store)[: -len(OF_THE_PACKAGE)]
    found = {check.check: check for check in checks}
    assert found[expected].wrong > 0
    assert found[expected].example


def verified(store: Place) -> list[transfer.Check]:
    return transfer.verify(store.conn, store=store.name)


def by_sql(store: Place) -> list[transfer.Check]:
    return [transfer.Check(*row) for row in store.query("SELECT * FROM STORE.verify_store()")]


def test_every_check_is_tested(store: Place) -> None:
    checks = {check.check for check in transfer.verify(store.conn, store=store.name)}
    assert {expected for _, expected in BREAKS.values()} == checks


def test_objects_of_somebody_else_are_no_harm(store: Place) -> None:
    """What makes it slower or faster, or shows it to others, is the operator's."""
    with store.conn.transaction(force_rollback=True):
        for statement in (
            "CREATE INDEX ON STORE.messages (added_at)",
            "ALTER TABLE STORE.messages SET (fillfactor = 90)",
            "CREATE PUBLICATION everything FOR TABLE STORE.messages",
        ):
            store.query(statement)
        assert [each for each in transfer.verify(store.conn, store=store.name) if each.wrong] == []


@pytest.mark.parametrize(
    "options",
    ["-c default_transaction_isolation=serializable", "-c default_transaction_read_only=on"],
)
def test_verify_leaves_nothing_behind(store: Place, conninfo: str, options: str) -> None:
    schemas = "SELECT count(*) FROM pg_namespace"
    before = store.query(schemas)
    with psycopg.connect(conninfo, autocommit=True, options=options) as conn:
        checks = transfer.verify(conn, store=store.name)
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert conn.execute("SHOW search_path").fetchone() == ('"$user", public',)
    assert [check for check in checks if check.wrong] == []
    assert checks[-1].check == "objects are as in a new store"
    assert checks[-1].checked > 150
    assert store.query(schemas) == before


def test_who_may_not_make_a_store_verifies_the_rest(store: Place, conninfo: str) -> None:
    with store.conn.transaction(force_rollback=True):
        store.query("CREATE ROLE verifier")
        store.query("SELECT STORE.grant_access('verifier', 'admin')")
        store.query("SET LOCAL ROLE verifier")
        checks = transfer.verify(store.conn, store=store.name)
    assert [check for check in checks if check.wrong] == []
    assert (checks[-1].check, checks[-1].checked) == ("objects are as in a new store", 0)


def test_verify_in_a_transaction_of_the_callers(store: Place, conninfo: str) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        conn.execute("SELECT 1 FROM pg_class LIMIT 1")
        checks = transfer.verify(conn, store=store.name)
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert [check for check in checks if check.wrong] == []
    assert checks[-1].checked == 0


@pytest.mark.parametrize("name", ['odd "name" % \\', "Capitals", "x" * 63])
def test_store_of_any_name_is_verified(conninfo: str, name: str) -> None:
    pgstore.install(conninfo, store=name)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        try:
            checks = transfer.verify(conn, store=name)
        finally:
            conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
    assert [check for check in checks if check.wrong] == []


def test_verify_sees_nothing_wrong_while_others_write(store: Place, conninfo: str) -> None:
    with psycopg.connect(conninfo) as writer:
        writer.execute(f"SELECT FROM {store.name}.write_message('w-1', 'A', '1')".encode())
        assert [each for each in transfer.verify(store.conn, store=store.name) if each.wrong] == []
        writer.rollback()


def test_verify_is_quick_where_much_waits_and_nothing_is_analysed(
    conninfo: str, schema: str
) -> None:
    # Not one that other tests had: the planner sees how long its tables are.
    pgstore.install(conninfo, store=schema)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        place = Place(conn, schema, conninfo)
        place.query(
            "SELECT STORE.write_message('s-' || n % 500, 'A', '{}')"
            " FROM generate_series(1, 40000) AS n"
        )
        place.query("SELECT STORE.create_subscription('waits', partitions => 4)")
        place.query("SELECT STORE.claim_partition('{waits}', worker => 'me')")
        # With a look at each stream or list for each message, it takes minutes.
        place.query("SET statement_timeout = '20s'")
        assert (
            place.value(
                "SELECT checked FROM STORE.verify_store()"
                " WHERE check_name = 'what waits in partitions is listed'"
            )
            >= 1000
        )


def test_verify_knows_a_store_of_another_version(store: Place) -> None:
    with store.conn.transaction(force_rollback=True):
        store.query("INSERT INTO STORE.migrations VALUES (99, now(), 'later', 'x')")
        (found,) = [
            check
            for check in transfer.verify(store.conn, store=store.name)
            if check.check == "migrations are those of this package"
        ]
    assert (found.wrong, found.example) == (1, "migration 99: not known to this package")
