"""A session listens, another one holds the bell: for drivers whose LISTEN runs no statements."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.concurrency.sessions import Open, Session, until
from tests.concurrency.test_doorbell import Listener


@pytest.fixture
def writer(session: Open) -> Session:
    return session("writer")


@pytest.fixture
def listener(session: Open) -> Listener:
    """Runs LISTEN, and nothing after it."""
    return Listener(session("listener"))


@pytest.fixture
def bell(session: Open) -> Session:
    """Calls fall_asleep and wake_up, and listens on nothing."""
    return session("bell")


@contextmanager
def asleep(bell: Session) -> Iterator[None]:
    bell.run("SELECT fall_asleep(%s)", bell.pid)
    yield
    bell.run("SELECT wake_up(%s)", bell.pid)


def test_bell_of_one_session_notifies_the_other(
    writer: Session, listener: Listener, bell: Session, stream: str
) -> None:
    with asleep(bell):
        writer.write(stream)
        assert listener.heard(writer) == [(writer.pid, "")]
    writer.write(stream)
    assert listener.heard(writer) == []


def test_message_before_the_bell_is_seen_by_its_look(
    writer: Session, listener: Listener, bell: Session, stream: str
) -> None:
    """The reader waits only if its last look is as far as the one of fall_asleep."""
    looked = bell.number("SELECT safe_position FROM horizon()")
    _, position = writer.write(stream)
    ((safe, in_flight),) = bell.run("SELECT * FROM fall_asleep(%s)", bell.pid)
    bell.run("SELECT wake_up(%s)", bell.pid)
    assert (safe, in_flight) == (position, False)
    assert safe > looked
    assert listener.heard(writer) == []


def test_writer_in_flight_is_seen_by_the_look_of_the_bell(
    writer: Session, listener: Listener, bell: Session, stream: str
) -> None:
    """It has tested the bell already: nobody will be notified of it."""
    writer.begin()
    writer.write(stream)
    ((_, in_flight),) = bell.run("SELECT * FROM fall_asleep(%s)", bell.pid)
    assert in_flight is True
    writer.commit()
    assert listener.heard(writer) == []
    bell.run("SELECT wake_up(%s)", bell.pid)


def test_bell_session_that_writes_notifies_nobody(
    writer: Session, listener: Listener, bell: Session, stream: str
) -> None:
    """Its own keys are free for it: so it must run nothing but fall_asleep and wake_up."""
    with asleep(bell):
        bell.write(stream)
        assert listener.heard(writer) == []
        writer.write(stream)
        assert listener.heard(writer) == [(writer.pid, "")]


def test_bell_session_that_ends_takes_the_bell_with_it(
    writer: Session, listener: Listener, bell: Session, stream: str
) -> None:
    """The listening session is told nothing: so the wait needs a time-out, and then a wake_up."""
    bell.run("SELECT fall_asleep(%s)", bell.pid)
    writer.run("SELECT pg_terminate_backend(%s)", bell.pid)
    until(lambda: writer.lock_keys("bell", bell.pid) == [], "the end of the bell's session")
    writer.write(stream)
    assert listener.heard(writer) == []
    assert bell.start("SELECT wake_up(%s)", bell.pid).sqlstate() == "57P01"


def test_one_bell_serves_all_sessions_that_listen(
    session: Open, writer: Session, listener: Listener, bell: Session, stream: str
) -> None:
    other = Listener(session("other listener"))
    with asleep(bell):
        writer.write(stream)
        assert listener.heard(writer) == [(writer.pid, "")]
        assert other.heard(writer) == [(writer.pid, "")]
