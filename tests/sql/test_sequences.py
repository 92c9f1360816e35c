"""Sequences behind what is stored, copied without it or set back: what says so, and mends."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store
from tests.stores import Stores

SEQUENCES = ("global_position_seq", "stream_id_seq", "subscription_id_seq", "audit_id_seq")

# What a caller does that draws a number, and the sequence of which it is.
WRITES = {
    "write_message": "SELECT STORE.write_message('account-0', 'T', '1', message_id => %(id)s)",
    "write_message, new stream": "SELECT STORE.write_message('new-' || %(id)s, 'T', '1')",
    "write_message, version": "SELECT STORE.write_message('account-0', 'T', '1', NULL, 3, %(id)s)",
    "write_message, serializable": "SELECT STORE.write_message('account-0', 'T', '1')",
    "write_arrays": "SELECT STORE.write_arrays('account-0', '{T}', '{1}')",
    "write_arrays, two": "SELECT STORE.write_arrays('account-0', '{T,T}', '{1,2}')",
    "write_messages": """SELECT STORE.write_messages('account-0', '[{"type": "T", "data": 1}]')""",
    "write_group": (
        "SELECT STORE.write_group('{account-0}', '{T}', '{1}', NULL, NULL, ARRAY[%(id)s::uuid])"
    ),
    "synchronize_stream": "SELECT STORE.synchronize_stream('new-' || %(id)s, '{}', '{T}', '{1}')",
    "import_messages": (
        "SELECT STORE.import_messages('{imported-1}', '{1}', '{T}', '{1}', NULL,"
        " ARRAY[%(id)s::uuid], ARRAY[now()])"
    ),
    "import_messages, positions": (
        "SELECT STORE.import_messages('{imported-1}', '{1}', '{T}', '{1}', NULL,"
        " ARRAY[%(id)s::uuid], ARRAY[now()], '{70}')"
    ),
    "import_floors": "SELECT STORE.import_floors('{floors-1}', '{3}')",
    "create_subscription": "SELECT STORE.create_subscription('new ' || %(id)s)",
    "set_retention": "SELECT STORE.set_retention('account', max_count => 100)",
    "delete_stream": "SELECT STORE.delete_stream('account-1', NULL)",
}

POSITIONED = [name for name in WRITES if "account-0" in WRITES[name]] + ["import_messages"]
OTHERS = ("create_subscription", "set_retention", "delete_stream")


@pytest.fixture
def copied(server_conninfo: str, stores: Stores) -> Iterator[Store]:
    """A store with rows of every kind, whose sequences are as new."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:
        store = Store(conn, name)
        for n in range(9):
            store.write(f"account-{n % 3}")
        for subscription in ("one", "two"):
            store.call("create_subscription", subscription)
        for count in (100, 200):
            store.call("set_retention", "account", max_count=count)
        restart(store)
        yield store


def restart(store: Store) -> None:
    for sequence in SEQUENCES:
        # As RESTART leaves it, without another file for it.
        store.query(
            "SELECT setval(s.seqrelid, s.seqstart, false) FROM pg_sequence AS s"
            " WHERE s.seqrelid = %s::regclass",
            [f"{store.name}.{sequence}"],
        )


def wrong(store: Store) -> dict[str, str | None]:
    return dict(
        store.query(
            "SELECT c.check_name, c.example FROM STORE.verify_store() AS c WHERE c.wrong > 0"
        ).fetchall()
    )


@pytest.mark.parametrize("name", WRITES)
def test_call_that_draws_a_number_names_the_sequence_until_it_is_repaired(
    copied: Store, connect: Connect, name: str
) -> None:
    """Also after many tries: a refused one must not bring the positions nearer to a gap."""
    conn = connect()
    if "serializable" in name:
        conn.execute("SET default_transaction_isolation = 'serializable'")
    # Of subscriptions and entries of the audit there are two: the third number is free.
    for _ in range(2 if name in OTHERS else 20):
        with copied.refused("MS007"):
            copied.query(WRITES[name], {"id": str(uuid4())}, on=conn)
    copied.call("repair_sequences")
    copied.query(WRITES[name], {"id": str(uuid4())}, on=conn)
    assert wrong(copied) == {}


@pytest.mark.parametrize("name", [name for name in WRITES if name.startswith(("write", "sync"))])
def test_writes_are_refused_where_the_first_messages_are_gone(copied: Store, name: str) -> None:
    """Nothing is in the way of the first positions then, and readers are beyond them."""
    copied.call("repair_sequences")
    copied.call("empty_store", copied.name)
    _, position = copied.write("account-1")
    restart(copied)
    copied.query("SELECT setval('STORE.stream_id_seq', 1000)")
    for _ in range(20):
        with copied.refused("MS007", sequence="global_position_seq", highest=position):
            copied.query(WRITES[name], {"id": str(uuid4())})
    copied.call("repair_sequences")
    assert copied.write("account-0") == (4, position + 1)


def test_sequence_that_was_set_back_in_the_middle(copied: Store) -> None:
    """The fast way of write_message meets the position itself: PostgreSQL's own error says so."""
    copied.call("repair_sequences")
    copied.call("skip_positions", 2000)
    copied.write("account-0")
    copied.write("account-0")
    for _ in range(2):
        copied.query("SELECT setval('STORE.global_position_seq', 2009)")
        with copied.refused("23505"):
            copied.write("account-0")
        copied.query("SELECT setval('STORE.global_position_seq', 2009)")
        with copied.refused("MS007", last_value=2010, highest=2011):
            copied.query("SELECT STORE.write_arrays('account-0', '{T}', '{1}')")


@pytest.mark.parametrize(
    "read",
    [
        "SELECT * FROM STORE.read_all()",
        "SELECT * FROM STORE.read_all(5)",
        "SELECT * FROM STORE.read_category('account')",
        "SELECT * FROM STORE.horizon()",
        "SELECT * FROM STORE.fall_asleep()",
        "SELECT * FROM STORE.claim_batch('{one}', 'me')",
        "SELECT * FROM STORE.claim_partition('{one}', 'me')",
    ],
)
def test_readers_do_not_take_the_store_for_an_empty_one(copied: Store, read: str) -> None:
    with copied.refused("MS007", sequence="global_position_seq", last_value=0, highest=9):
        copied.query(read)
    copied.call("repair_sequences")
    assert copied.query(read).fetchall() != []


def test_reader_beyond_a_sequence_that_is_behind_is_told_so(copied: Store) -> None:
    copied.query("SELECT setval('STORE.global_position_seq', 4)")
    with copied.refused("MS007", last_value=4, highest=9):
        copied.call("read_all", 7)
    with copied.refused("MS007", last_value=4, highest=9):
        copied.call("create_subscription", "later", start_position=7)


def test_repair_sequences_sets_each_that_is_behind(copied: Store) -> None:
    assert copied.call("list_sequences") == [
        ("global_position_seq", 0, 9),
        ("stream_id_seq", 0, 3),
        ("subscription_id_seq", 0, 2),
        ("audit_id_seq", 0, 2),
    ]
    found = wrong(copied)
    assert found["sequences are at what they gave"] == (
        "audit_id_seq is at 0, 2 is stored; global_position_seq is at 0, 9 is stored;"
        " stream_id_seq is at 0, 3 is stored; subscription_id_seq is at 0, 2 is stored"
    )
    assert {
        "global positions are not above the sequence",
        "streams are well formed",
    } <= found.keys()
    assert copied.call("repair_sequences") == [
        ("global_position_seq", 0, 9),
        ("stream_id_seq", 0, 3),
        ("subscription_id_seq", 0, 2),
        ("audit_id_seq", 0, 2),
    ]
    assert copied.call("repair_sequences") == []
    assert wrong(copied) == {}
    assert copied.write("account-0") == (4, 10)


@pytest.mark.parametrize(
    "beyond",
    [
        "UPDATE STORE.subscription_partitions SET checkpoint = 50, swept_position = 50",
        "UPDATE STORE.subscription_sweeps SET swept_position = 50",
        "UPDATE STORE.retention_policies SET reached_position = 50",
        "INSERT INTO STORE.parked_messages (subscription_id, global_position, partition, attempts,"
        " parked_at, replay) VALUES (1, 50, 0, 1, now(), false)",
    ],
)
def test_positions_go_on_after_what_consumers_have_seen(copied: Store, beyond: str) -> None:
    """The last messages may be gone."""
    copied.query(beyond)
    copied.call("repair_sequences")
    assert copied.write("account-0")[1] == 51


def test_skip_positions_goes_on_after_what_is_stored(copied: Store) -> None:
    assert copied.call("skip_positions", 100) == [(109,)]


def test_repair_sequences_waits_for_writers(copied: Store, connect: Connect) -> None:
    copied.call("repair_sequences")
    copied.query("SELECT setval('STORE.stream_id_seq', 1)")
    writer = connect(autocommit=False)
    copied.write("account-0", on=writer)
    conn = connect()
    conn.execute("SET lock_timeout = '50ms'")
    with copied.refused("55P03"):
        copied.call("repair_sequences", on=conn)
    writer.rollback()
    assert copied.call("repair_sequences", on=conn) == [("stream_id_seq", 1, 3)]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_repair_sequences_needs_read_committed(copied: Store, connect: Connect, level: str) -> None:
    conn: Connection = connect(autocommit=False)
    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with copied.refused("MS004"):
        copied.call("repair_sequences", on=conn)


def test_health_tells_sequences_that_are_behind(copied: Store, connect: Connect) -> None:
    with new_role(copied) as role:
        copied.call("repair_sequences")
        copied.call("grant_access", role, "monitor")
        monitor = connect(user=role)
        health = "SELECT status, value FROM STORE.health() WHERE name = 'sequences'"
        assert copied.query(health, on=monitor).fetchall() == [("ok", "none is behind")]
        copied.query("SELECT setval('STORE.stream_id_seq', 1)")
        assert copied.query(health, on=monitor).fetchall() == [
            ("fail", "stream_id_seq is at 1, 3 is stored")
        ]


@pytest.mark.parametrize("write", POSITIONED)
@pytest.mark.parametrize("way", ["RESTART", "MINVALUE -3 RESTART WITH -3"])
def test_no_message_gets_position_0(copied: Store, connect: Connect, way: str, write: str) -> None:
    """A read after position 0, from the beginning, would not return it."""
    for table in ("messages", "subscription_partitions", "retention_policies"):
        copied.query(f"TRUNCATE STORE.{table}")
    copied.query("UPDATE STORE.streams SET floor = 3")
    copied.call("repair_sequences")
    copied.query(f"ALTER SEQUENCE STORE.global_position_seq {way}")
    conn = connect()
    if "serializable" in write:
        conn.execute("SET default_transaction_isolation = 'serializable'")
    copied.query(WRITES[write], {"id": str(uuid4())}, on=conn)
    assert copied.query("SELECT min(global_position) FROM STORE.messages").fetchall() == [(1,)]
    assert len(copied.call("read_all")) == copied.counts()[0]


def test_no_message_gets_position_0_by_a_setting_of_the_writer(
    copied: Store, connect: Connect
) -> None:
    """The setting that remembers a mark is the session's: it may say that one is held."""
    copied.query("TRUNCATE STORE.messages, STORE.streams, STORE.subscription_partitions")
    copied.query("TRUNCATE STORE.retention_policies")
    copied.call("repair_sequences")
    copied.query("ALTER SEQUENCE STORE.global_position_seq RESTART")
    conn = connect(autocommit=False)
    ((setting,),) = copied.query("SELECT STORE._mark_setting()")
    conn.execute("SELECT pg_current_xact_id(), set_config(%s, '0', true)", [setting])
    copied.query(WRITES["write_message, new stream"], {"id": str(uuid4())}, on=conn)
    conn.commit()
    assert copied.query("SELECT global_position FROM STORE.messages").fetchall() == [(1,)]


def test_truncate_with_restart_identity_leaves_the_sequences(copied: Store) -> None:
    """They belong to no column: only ALTER SEQUENCE and setval set them back."""
    copied.call("repair_sequences")
    before = copied.query("SELECT last_value, is_called FROM STORE.global_position_seq").fetchall()
    copied.query("TRUNCATE STORE.messages, STORE.streams RESTART IDENTITY")
    after = copied.query("SELECT last_value, is_called FROM STORE.global_position_seq").fetchall()
    assert after == before == [(9, True)]


@pytest.mark.parametrize(
    ("by_hand", "check"),
    [
        ("TRUNCATE STORE.messages", "streams have messages or were cut off"),
        ("TRUNCATE STORE.streams", "messages have a stream"),
        (
            "TRUNCATE STORE.messages, STORE.streams; ALTER SEQUENCE STORE.global_position_seq"
            " RESTART",
            "checkpoints are within the store",
        ),
        ("ALTER SEQUENCE STORE.global_position_seq RESTART", "sequences are at what they gave"),
        ("ALTER SEQUENCE STORE.stream_id_seq RESTART", "sequences are at what they gave"),
    ],
)
def test_verify_tells_what_was_emptied_by_hand(copied: Store, by_hand: str, check: str) -> None:
    copied.call("repair_sequences")
    copied.query("UPDATE STORE.subscription_partitions SET checkpoint = 9, swept_position = 9")
    assert wrong(copied) == {}
    copied.query(by_hand)
    assert check in wrong(copied)
