"""The same messages for Message DB's clients and for the store's, and what the store adds."""

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

import pgstore
from pgstore import RawMessage
from tests.concurrency.sessions import Session
from tests.message_db.conftest import STORE

Connection = psycopg.Connection[TupleRow]
WRITE = "SELECT write_message(%s, %s, 'Opened', '{\"a\": 1}', '{\"m\": 2}')"


@pytest.fixture
def store(served: str) -> Iterator[pgstore.MessageStore[RawMessage]]:
    with pgstore.MessageStore(served, store=STORE, messages=RawMessage) as made:
        yield made


@pytest.fixture
def sessions(served: str) -> Iterator[tuple[Session, Session]]:
    """Two clients of the interface."""
    with ExitStack() as stack:
        observer = stack.enter_context(psycopg.connect(served, autocommit=True))
        made = [stack.enter_context(Session(name, served, STORE, observer)) for name in "AB"]
        for each in made:
            each.run("SET search_path = message_store")
            each.run("SET ROLE message_store")
        yield made[0], made[1]


@pytest.fixture
def category() -> str:
    return f"c{uuid4().hex[:12]}"


def test_subscription_of_the_store_handles_what_a_client_writes(
    client: Connection, store: pgstore.MessageStore[RawMessage], category: str
) -> None:
    subscription = store.subscription(f"all of {category}", category=category)
    handled: list[tuple[str, int, UUID, bytes]] = []

    @subscription.handler
    def handle(stored: pgstore.StoredMessage[RawMessage]) -> None:
        message = stored.message
        handled.append((stored.stream, stored.version, stored.message_id, message.data))

    ids = [uuid4() for _ in range(3)]
    for message_id in ids:
        client.execute(WRITE, [str(message_id), f"{category}-1"])
    store.run_once(subscription)
    assert handled == [
        (f"{category}-1", number + 1, ids[number], b'{"a": 1}') for number in range(3)
    ]


def test_client_reads_what_the_store_writes_at_the_version_minus_one(
    client: Connection, store: pgstore.MessageStore[RawMessage], category: str
) -> None:
    stream = f"{category}-1"
    assert client.execute("SELECT stream_version(%s)", [stream]).fetchone() == (None,)
    written = [store.write(stream, RawMessage("Opened", b'{"a": 1}')) for _ in range(3)]
    for call in ("get_stream_messages(%s)", "get_category_messages(category(%s))"):
        rows = client.execute(
            f"SELECT position, global_position, type, data FROM {call}".encode(), [stream]
        ).fetchall()
        assert rows == [
            (place.version - 1, place.global_position, "Opened", '{"a": 1}') for place in written
        ]
    assert client.execute("SELECT stream_version(%s)", [stream]).fetchone() == (2,)
    expect = "SELECT write_message(%s, %s, 'Opened', '{}', NULL, %s)"
    assert client.execute(expect, [str(uuid4()), stream, 2]).fetchone() == (3,)
    assert store.stream_version(stream) == 4


def test_time_is_utc_whatever_the_sessions_time_zone(
    client: Connection, store: pgstore.MessageStore[RawMessage], category: str
) -> None:
    client.execute("SET timezone = 'America/Lima'")
    client.execute(WRITE, [str(uuid4()), f"{category}-1"])
    (stored,) = store.read(f"{category}-1")
    for call in ("get_stream_messages(%s)", "get_last_stream_message(%s)", "messages"):
        query = f"SELECT time FROM {call} WHERE id::varchar = %s".encode()
        given = [str(stored.message_id)]
        given = [f"{category}-1", *given] if "%s" in call else given
        assert client.execute(query, given).fetchall() == [(stored.added_at.replace(tzinfo=None),)]


def test_stream_that_was_cut_off_continues_at_its_position(
    client: Connection, served: str, category: str
) -> None:
    for _ in range(3):
        client.execute(WRITE, [str(uuid4()), f"{category}-1"])
    with psycopg.connect(served, autocommit=True) as owner:
        owner.execute(f"SELECT {STORE}.truncate_stream(%s, 4)".encode(), [f"{category}-1"])
    query = "SELECT position FROM get_stream_messages(%s)"
    assert client.execute(query, [f"{category}-1"]).fetchall() == []
    assert client.execute("SELECT stream_version(%s)", [f"{category}-1"]).fetchone() == (2,)
    assert client.execute(WRITE, [str(uuid4()), f"{category}-1"]).fetchone() == (3,)


def test_reader_of_a_category_waits_for_messages_in_flight_and_writers_for_nobody(
    sessions: tuple[Session, Session], category: str
) -> None:
    """Message DB's writers of a category queue."""
    one, other = sessions
    read = "SELECT stream_name FROM get_category_messages(%s)"
    one.begin()
    one.run(WRITE, str(uuid4()), f"{category}-1")
    other.run(WRITE, str(uuid4()), f"{category}-2")  # does not wait
    assert other.run(read, category) == []
    one.commit()
    assert other.run(read, category) == [(f"{category}-1",), (f"{category}-2",)]


def test_writers_of_a_stream_wait_and_are_told_its_version(
    sessions: tuple[Session, Session], category: str
) -> None:
    one, other = sessions
    expect = "SELECT write_message(%s, %s, 'Opened', '{}', NULL, -1)"
    one.begin()
    one.run(WRITE, str(uuid4()), f"{category}-1")
    step = other.start(expect, str(uuid4()), f"{category}-1").blocked_by(one)
    one.commit()
    assert step.sqlstate() == "P0001"


@pytest.mark.parametrize(("stream", "code"), [("1", "23505"), ("2", "MS002")])
def test_id_that_another_transaction_uses_meanwhile(
    sessions: tuple[Session, Session], category: str, stream: str, code: str
) -> None:
    """Of another stream only the store knows it, when the message is stored."""
    one, other = sessions
    message_id = str(uuid4())
    one.begin()
    one.run(WRITE, message_id, f"{category}-1")
    step = other.start(WRITE, message_id, f"{category}-{stream}").blocked_by(one)
    one.commit()
    assert step.sqlstate() == code


def test_lock_of_a_category_excludes_its_other_callers_and_no_writer(
    sessions: tuple[Session, Session], category: str
) -> None:
    one, other = sessions
    one.begin()
    ((key,),) = one.run("SELECT acquire_lock(%s)", f"{category}-1")
    assert [(key,)] == other.run("SELECT hash_64(%s)", category)
    other.run(WRITE, str(uuid4()), f"{category}-1")
    step = other.start("SELECT acquire_lock(%s)", f"{category}-2").blocked_by(one)
    one.commit()
    assert step.rows() == [(key,)]


def test_writers_of_several_streams_in_different_orders_deadlock(
    sessions: tuple[Session, Session], category: str
) -> None:
    one, other = sessions
    one.begin()
    other.begin()
    one.run(WRITE, str(uuid4()), f"{category}-1")
    other.run(WRITE, str(uuid4()), f"{category}-2")
    first = one.start(WRITE, str(uuid4()), f"{category}-2").blocked_by(other)
    second = other.start(WRITE, str(uuid4()), f"{category}-1")
    assert {first.sqlstate(), second.sqlstate()} == {None, "40P01"}


def test_lock_of_the_category_keeps_them_from_it(
    sessions: tuple[Session, Session], category: str
) -> None:
    one, other = sessions
    one.begin()
    other.begin()
    one.run("SELECT acquire_lock(%s)", category)
    step = other.start("SELECT acquire_lock(%s)", category).blocked_by(one)
    for number in (1, 2):
        one.run(WRITE, str(uuid4()), f"{category}-{number}")
    one.commit()
    assert len(step.rows()) == 1
    for number in (2, 1):
        other.run(WRITE, str(uuid4()), f"{category}-{number}")
    other.commit()


def test_condition_is_asked_of_every_page_of_a_long_stream(
    client: Connection, served: str, category: str
) -> None:
    """Pages are of a thousand messages; the stream begins later."""
    with psycopg.connect(served, autocommit=True, options=f"-c search_path={STORE}") as owner:
        owner.execute(
            "SELECT write_arrays(%s, array_agg('A'::text), array_agg(to_jsonb(n)))"
            " FROM generate_series(1, 4500) AS n",
            [f"{category}-1"],
        )
        owner.execute("SELECT truncate_stream(%s, 1501)", [f"{category}-1"])
    client.execute("SET message_store.sql_condition = on")
    # The last and the first of pages, and some between: the first page begins at 1500.
    condition = "'position IN (1500, 2000, 2499, 2500, 3499, 3500, 4499)'"
    query = f"SELECT position FROM get_stream_messages(%s, %s, %s, {condition})"

    def found(position: int, batch_size: int) -> list[int]:
        rows = client.execute(query.encode(), [f"{category}-1", position, batch_size])
        return [row[0] for row in rows]

    everything = [1500, 2000, 2499, 2500, 3499, 3500, 4499]
    assert found(0, -1) == found(0, 1000) == found(1500, 7) == everything
    assert found(0, 4) == everything[:4]
    assert found(2000, 3) == [2000, 2499, 2500]
    assert found(2001, 3) == [2499, 2500, 3499]
    assert found(4499, 1) == [4499]
    assert found(4500, 1) == found(9999, 1) == []


def test_condition_on_an_empty_stream_is_answered_at_once_from_any_position(
    client: Connection, category: str
) -> None:
    client.execute("SET message_store.sql_condition = on")
    client.execute("SET statement_timeout = '10s'")  # it would not end
    query = "SELECT FROM get_stream_messages(%s, %s, condition => 'true')"
    for position in (-(2**63), -1, 0, 2**63 - 1):
        assert client.execute(query, [f"{category}-1", position]).rowcount == 0


def test_write_on_a_snapshot_that_is_too_old_is_refused(
    sessions: tuple[Session, Session], category: str
) -> None:
    one, other = sessions
    one.run(WRITE, str(uuid4()), f"{category}-1")
    other.begin("REPEATABLE READ")
    one.run(WRITE, str(uuid4()), f"{category}-1")
    assert other.start(WRITE, str(uuid4()), f"{category}-1").sqlstate() == "40001"


def test_clients_of_a_closed_store_are_told_its_place(
    served: str, client: Connection, category: str
) -> None:
    """Functions that compute of names answer, and so does the lock of Message DB's writers."""
    stream, place = f"{category}-1", "host=other dbname=shop"
    client.execute(WRITE, [str(uuid4()), stream])
    calls = {
        "get_category_messages": f"'{category}'",
        "get_last_stream_message": f"'{stream}'",
        "get_stream_messages": f"'{stream}'",
        "stream_version": f"'{stream}'",
        "write_message": f"'{uuid4()}', '{stream}', 'T', '1'",
    }
    computed = {
        *("acquire_lock", "cardinal_id", "category", "hash_64", "id", "is_category"),
        "message_store_version",
    }
    functions = client.execute(
        "SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'message_store'::regnamespace"
        " AND NOT starts_with(p.proname, '_')"
    )
    assert {name for (name,) in functions} == calls.keys() | computed
    with psycopg.connect(served, autocommit=True) as owner:
        owner.execute(f"SELECT {STORE}.fence_store(%s)".encode(), [place])
        try:
            for name, arguments in calls.items():
                with pytest.raises(pgstore.StoreMovedError) as caught:
                    client.execute(f"SELECT * FROM {name}({arguments})".encode())
                assert caught.value.conninfo == place
        finally:
            owner.execute(f"SELECT {STORE}.lift_fence()".encode())
    client.execute(WRITE, [str(uuid4()), stream])
