"""The doorbell: a writer notifies if, and only if, somebody sleeps."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import psycopg
import pytest
from psycopg import Notify
from psycopg.pq import TransactionStatus

from tests.amounts import amount
from tests.concurrency.sessions import FUNCTIONS, Open, Session, until

each_function = pytest.mark.parametrize("function", FUNCTIONS)

_BELLS = range(16)
CANCELLED = amount(50, 150)
_END = "end"


class Listener:
    """A session that listens, and sleeps when it holds bell keys."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._heard: list[Notify] = []
        session.conn.add_notify_handler(self._heard.append)
        ((self._channel,),) = session.run("SELECT wake_channel()")
        session.run(f'LISTEN "{self._channel}"')

    def sleep(self, keys: list[int] | range = _BELLS) -> None:
        self.session.run(
            "SELECT pg_advisory_lock_shared(_bell_lock_class(), k) FROM unnest(%s::int[]) AS k",
            list(keys),
        )

    def heard(self, teller: Session) -> list[tuple[int, str]]:
        """Who has notified so far, and the payloads; the teller marks the end of it."""
        teller.run("SELECT pg_notify(wake_channel(), %s)", _END)

        def ended() -> bool:
            self.session.run("SELECT 1")
            return any(each.payload == _END for each in self._heard)

        until(ended, "notifications")
        heard = [(each.pid, each.payload) for each in self._heard if each.payload != _END]
        self._heard.clear()
        return heard


@pytest.fixture
def writer(session: Open) -> Session:
    return session("writer")


@pytest.fixture
def listener(session: Open) -> Listener:
    return Listener(session("listener"))


@each_function
def test_write_notifies_nobody_if_nobody_sleeps(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    writer.write(stream, function=function)
    writer.begin()
    writer.write(stream, function=function)
    writer.write(stream, function=function)
    writer.commit()
    assert listener.heard(writer) == []


@each_function
def test_write_notifies_without_payload_if_somebody_sleeps(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    listener.sleep()
    writer.write(stream, function=function)
    assert listener.heard(writer) == [(writer.pid, "")]


@each_function
def test_transaction_that_wrote_something_else_first_notifies(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    listener.sleep()
    writer.begin()
    writer.run("CREATE TEMP TABLE business AS SELECT 1 AS id")
    writer.write(stream, function=function)
    writer.commit()
    assert listener.heard(writer) == [(writer.pid, "")]


@each_function
def test_transaction_notifies_once(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    listener.sleep()
    writer.begin()
    for n in range(10):
        writer.write(f"{stream}-{n % 3}", function=function)
        writer.run("SAVEPOINT here")
        writer.write(f"{stream}-{n % 4}", function=function)
        writer.run("ROLLBACK TO SAVEPOINT here" if n % 2 else "RELEASE SAVEPOINT here")
    assert listener.heard(listener.session) == []  # not before it commits
    writer.commit()
    assert listener.heard(writer) == [(writer.pid, "")]


@each_function
def test_what_was_rolled_back_notifies_nobody(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    listener.sleep()
    writer.begin()
    writer.write(stream, function=function)
    writer.rollback()
    writer.begin()
    writer.run("SAVEPOINT before")
    writer.write(stream, function=function)
    writer.run("ROLLBACK TO SAVEPOINT before")
    writer.commit()
    assert writer.refused(stream, 7, function=function) == "MS001"
    assert listener.heard(writer) == []


@each_function
def test_write_after_a_savepoint_was_rolled_back_notifies(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    listener.sleep()
    writer.begin()
    writer.run("SAVEPOINT before")
    writer.write(stream, function=function)
    writer.run("ROLLBACK TO SAVEPOINT before")
    writer.write(stream, function=function)
    writer.commit()
    assert listener.heard(writer) == [(writer.pid, "")]


@each_function
def test_writer_tests_the_one_bell_key_of_its_backend(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    own = writer.pid % len(_BELLS)
    listener.sleep([key for key in _BELLS if key != own])
    writer.write(stream, function=function)
    assert listener.heard(writer) == []
    listener.sleep([own])
    writer.write(stream, function=function)
    assert listener.heard(writer) == [(writer.pid, "")]


def test_each_of_several_sleepers_is_notified_and_a_dead_one_is_not_missed(
    session: Open, writer: Session, listener: Listener, stream: str
) -> None:
    other = Listener(session("other"))
    listener.sleep()
    other.sleep()
    writer.write(stream)
    assert listener.heard(writer) == [(writer.pid, "")]
    assert other.heard(writer) == [(writer.pid, "")]

    pid = other.session.pid
    writer.run("SELECT pg_terminate_backend(%s)", pid)
    until(lambda: writer.lock_keys("bell", pid) == [], "the end of the other sleeper")
    writer.write(stream)
    assert listener.heard(writer) == [(writer.pid, "")]
    listener.session.run("SELECT pg_advisory_unlock_all()")
    writer.write(stream)
    assert listener.heard(writer) == []


@each_function
@pytest.mark.parametrize("written_before", [False, True], ids=["first write", "second write"])
def test_writer_tests_the_bell_after_it_has_taken_its_mark(
    session: Open,
    writer: Session,
    listener: Listener,
    stream: str,
    function: str,
    written_before: bool,
) -> None:
    """Otherwise a reader that falls asleep in between sees no mark, and the writer no sleeper."""
    gate = session("gate")
    gate.run(
        "SELECT pg_advisory_lock(_mark_lock_class(),"
        " pg_sequence_last_value('global_position_seq')::integer)"
    )
    writer.begin()
    if written_before:
        writer.run("CREATE TEMP TABLE business AS SELECT 1 AS id")
    writing = writer.start_write(stream, function=function).blocked_by(gate)  # at its mark
    listener.sleep()
    gate.run("SELECT pg_advisory_unlock_all()")
    writing.place()
    writer.commit()
    assert listener.heard(writer) == [(writer.pid, "")]


@each_function
def test_sleeper_makes_prepare_transaction_impossible(
    writer: Session, listener: Listener, stream: str, function: str
) -> None:
    listener.sleep()
    writer.begin()
    writer.write(stream, function=function)
    prepare = writer.start(f"PREPARE TRANSACTION 'prepared-{uuid4().hex}'")
    assert prepare.sqlstate() == "0A000"


@each_function
@pytest.mark.parametrize("sleeps", [False, True])
def test_notify_off_makes_prepare_transaction_possible(
    writer: Session, listener: Listener, stream: str, function: str, sleeps: bool
) -> None:
    name = f"prepared-{uuid4().hex}"
    if sleeps:
        listener.sleep()
    writer.begin()
    writer.run("SET LOCAL pgstore.notify = 'off'")
    writer.write(stream, function=function)
    writer.write(stream, function=function)
    writer.run(f"PREPARE TRANSACTION '{name}'")
    writer.run(f"COMMIT PREPARED '{name}'")
    assert writer.version(stream) == 2
    assert listener.heard(writer) == []


@each_function
def test_prepare_transaction_is_possible_if_nobody_sleeps(
    writer: Session, stream: str, function: str
) -> None:
    name = f"prepared-{uuid4().hex}"
    writer.begin()
    writer.write(stream, function=function)
    writer.write(stream, function=function)
    writer.run(f"PREPARE TRANSACTION '{name}'")
    writer.run(f"ROLLBACK PREPARED '{name}'")
    assert writer.version(stream) == 0


@each_function
@pytest.mark.parametrize("sleeps", [False, True])
def test_write_leaves_no_bell_key_locked(
    writer: Session, listener: Listener, stream: str, function: str, sleeps: bool
) -> None:
    if sleeps:
        listener.sleep()
    writer.begin()
    for _ in range(3):
        writer.write(stream, function=function)
        assert writer.bell_keys() == []
    writer.commit()
    writer.write(stream, function=function)
    assert writer.refused(stream, 9, function=function) == "MS001"
    assert writer.bell_keys() == []


@pytest.mark.parametrize("sleeps", [False, True])
def test_cancelled_writes_leave_no_bell_key_locked(
    session: Open, listener: Listener, stream: str, sleeps: bool
) -> None:
    if sleeps:
        listener.sleep()
    names = [session(f"writer {n}") for n in range(6)]
    with cancelled(session("canceller"), names):
        threads = [
            threading.Thread(target=write_for_a_while, args=(one.conn, f"{stream}-{n % 3}", n))
            for n, one in enumerate(names)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert {one.name: one.bell_keys() for one in names if one.bell_keys()} == {}
    assert {one.name: one.marks() for one in names if one.marks()} == {}
    for one in names:
        one.write(f"{stream}-0")  # and they still work


def write_for_a_while(conn: psycopg.Connection[tuple[object, ...]], stream: str, seed: int) -> None:
    """Write, alone and in transactions, until so many statements have been cancelled."""
    chance = random.Random(seed)
    cancelled = 0
    while cancelled < CANCELLED:
        try:
            if chance.random() < 0.5:
                conn.execute("SELECT write_message(%s, 'T', '{}')", (stream,))
            else:
                with conn.transaction():
                    for _ in range(3):
                        conn.execute("SELECT write_message(%s, 'T', '{}')", (stream,))
        except psycopg.errors.QueryCanceled:
            cancelled += 1
        while conn.info.transaction_status != TransactionStatus.IDLE:  # a cancelled ROLLBACK
            with suppress(psycopg.errors.QueryCanceled):
                conn.rollback()


@contextmanager
def cancelled(canceller: Session, victims: list[Session]) -> Iterator[None]:
    """Cancel what the victims do, at random and without a pause."""
    stop = threading.Event()
    pids = [one.pid for one in victims]

    def cancel() -> None:
        while not stop.is_set():
            canceller.run("SELECT pg_cancel_backend(%s)", random.choice(pids))

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
