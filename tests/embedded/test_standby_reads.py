"""Stores in Python that read from a standby, and programs that publish for it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest

from pgstore import (
    InvalidArgumentError,
    MessageStore,
    QueryItem,
    StandbyBehindError,
    StandbyError,
)
from pgstore.__main__ import main
from pgstore._sync import publisher, standby, waker
from pgstore.embedded import Server
from tests.standbys import PATIENCE, pair, until


class Noted(msgspec.Struct):
    number: int


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with pair() as both:
        yield both


@pytest.fixture
def name() -> str:
    return f"store_{time.monotonic_ns()}"


@pytest.fixture
def store(servers: tuple[Server, Server], name: str) -> Iterator[MessageStore[Noted]]:
    """A store whose reads go to the standby."""
    primary, standby = servers
    with MessageStore[Noted](
        primary.conninfo, read_conninfo=standby.conninfo, messages=Noted, store=name
    ) as store:
        yield store


@pytest.fixture
def there(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str
) -> Iterator[MessageStore[Noted]]:
    """The same store, of a program that knows the standby alone."""
    store.safe_position()  # installs it
    with MessageStore[Noted](servers[1].conninfo, messages=Noted, store=name) as there:
        yield there


@contextmanager
def running(store: MessageStore[Noted]) -> Iterator[threading.Thread]:
    """A run that does nothing but publish."""
    thread = threading.Thread(target=lambda: store.run(publish=True, signals=False))
    thread.start()
    try:
        yield thread
    finally:
        while thread.is_alive():
            store.stop()
            thread.join(0.05)


@contextmanager
def publishing(servers: tuple[Server, Server], name: str) -> Iterator[MessageStore[Noted]]:
    with (
        MessageStore[Noted](servers[0].conninfo, messages=Noted, store=name) as store,
        running(store),
    ):
        yield store


def numbers(store: MessageStore[Noted], after: int = 0) -> list[int]:
    return [stored.message.number for stored in store.read_all(after_position=after)]


def publisher_of(servers: tuple[Server, Server], name: str) -> str | None:
    with psycopg.connect(servers[0].conninfo, autocommit=True) as conn:
        rows = conn.execute(f"SELECT publisher FROM {name}.store_horizon".encode()).fetchall()
    return rows[0][0] if rows else None


def test_a_program_reads_what_it_has_written(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str
) -> None:
    with publishing(servers, name):
        for number in range(5):
            position = store.write("note-1", Noted(number)).global_position
            store.wait_until_readable(position)
            assert numbers(store) == [*range(number + 1)]


def test_reads_of_all_kinds_go_to_the_standby(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str
) -> None:
    with publishing(servers, name):
        position = store.write("note-1", Noted(1), metadata={"correlation_id": "c"}).global_position
        store.wait_until_readable(position)
    with psycopg.connect(servers[1].conninfo, autocommit=True) as conn:
        conn.execute("SELECT pg_wal_replay_pause()")
        try:
            store.write("note-1", Noted(2), metadata={"correlation_id": "c"}, tags=["one"])
            assert store.stream_version("note-1") == 2  # of the primary
            (stored,) = store.read("note-1")
            assert (stored.message, stored.global_position) == (Noted(1), position)
            assert store.last("note-1") == store.get(stored.message_id) == stored
            assert list(store.read_correlated("c")) == [stored]
            assert list(store.read_all()) == list(store.read_category("note")) == [stored]
            assert store.check_messages() == []
            with store.follow(timeout=0) as following:
                assert list(following) == [stored]
            with store.transaction() as here:
                assert [each.version for each in store.read("note-1", conn=here)] == [1, 2]
                assert [each.version for each in store.read_all(conn=here)] == [1, 2]
            assert [each.version for each in store.positions("note-1")] == [1, 2]
            # A decision is made on the primary.
            notes = store.decider(lambda state, message: message, Noted, initial=lambda: Noted(0))
            assert notes.load("note-1") == (Noted(2), 2)
            assert len(store.read_tagged(QueryItem(tags=["one"])).messages) == 1
            assert store.safe_position() == position + 1
            with pytest.raises(TimeoutError, match=f"up to {position}"):
                store.wait_until_readable(position + 1, timeout=0)
        finally:
            conn.execute("SELECT pg_wal_replay_resume()")


def test_another_object_of_the_same_store_reads_there_too(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str
) -> None:
    with publishing(servers, name):
        store.wait_until_readable(store.write("note-1", Noted(1)).global_position)
    assert [each.message.data for each in store.raw.read_all()] == [b'{"number": 1}']
    with pytest.raises(InvalidArgumentError, match="read_conninfo"):
        MessageStore[Noted](store, messages=Noted, read_conninfo="")


def test_follow_waits_for_messages_on_a_standby(
    servers: tuple[Server, Server],
    store: MessageStore[Noted],
    there: MessageStore[Noted],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found: dict[str, list[int]] = {"by the primary's store": [], "alone": []}

    def have_read(count: int) -> bool:
        return all(len(each) == count for each in found.values())

    def read(by: str, reader: MessageStore[Noted]) -> None:
        with reader.follow(timeout=PATIENCE) as following:
            for stored in following:
                found[by].append(stored.message.number)
                if stored.message.number == 9:
                    return

    with publishing(servers, name):
        store.wait_until_readable(store.write("note-1", Noted(0)).global_position)
        caplog.clear()
        threads = [
            threading.Thread(target=read, args=pair)
            for pair in zip(found, (store, there), strict=True)
        ]
        for thread in threads:
            thread.start()
        for number in range(1, 10):
            until(partial(have_read, number))
            store.write("note-1", Noted(number))
        for thread in threads:
            thread.join()
    assert found == {by: [*range(10)] for by in found}
    assert caplog.text == ""  # it does not try to listen there


def test_follow_waits_for_a_position_that_is_not_there_yet(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str
) -> None:
    with publishing(servers, name):
        store.wait_until_readable(store.write("note-1", Noted(0)).global_position)
    position = store.write("note-1", Noted(1)).global_position
    with store.follow(after_position=position, timeout=0.1) as following:
        assert list(following) == []  # behind, and no error
        assert following.position == position
    with (
        store.follow(after_position=position, timeout=PATIENCE) as following,
        publishing(servers, name),
    ):
        store.write("note-1", Noted(2))
        assert next(following).message == Noted(2)


def test_a_read_waits_for_a_standby_that_is_behind_and_then_says_so(
    servers: tuple[Server, Server],
    store: MessageStore[Noted],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with publishing(servers, name):
        first = store.write("note-1", Noted(0)).global_position
        store.wait_until_readable(first)
    last = store.write("note-1", Noted(1)).global_position
    monkeypatch.setattr(standby, "PATIENCE", 0.2)
    with pytest.raises(StandbyBehindError) as caught:
        numbers(store, last)
    assert (caught.value.position, caught.value.safe_position) == (last, first)
    monkeypatch.setattr(standby, "PATIENCE", PATIENCE)
    reader: list[list[int]] = []
    waiting = threading.Thread(target=lambda: reader.append(numbers(store, last)))
    waiting.start()
    with publishing(servers, name):
        waiting.join()
    assert reader == [[]]


def test_nothing_is_published_unless_it_is_asked_for(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str
) -> None:
    store.write("note-1", Noted(1))
    with MessageStore[Noted](servers[0].conninfo, messages=Noted, store=name) as plain:
        subscription = plain.subscription("notes", category="note")

        @subscription.handler
        def handle(message: Noted) -> None:
            plain.stop()

        plain.run(subscription, signals=False)
    assert publisher_of(servers, name) is None
    with pytest.raises(StandbyError):
        numbers(store)


@pytest.mark.parametrize("publish", [None, False])
def test_a_run_of_a_store_that_reads_from_a_standby_publishes(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str, publish: bool | None
) -> None:
    subscription = store.subscription("notes", category="note")
    handled = threading.Event()

    @subscription.handler
    def handle(message: Noted) -> None:
        handled.set()

    thread = threading.Thread(
        target=lambda: store.run(subscription, signals=False, publish=publish)
    )
    thread.start()
    position = store.write("note-1", Noted(1)).global_position
    assert handled.wait(PATIENCE)
    if publish is None:
        store.wait_until_readable(position)
    store.stop()
    thread.join()
    assert (publisher_of(servers, name) is not None) == (publish is None)


def test_nothing_to_run_is_refused(servers: tuple[Server, Server]) -> None:
    with MessageStore[Noted](servers[0].conninfo, messages=Noted) as store:
        for publish in (None, False):
            with pytest.raises(InvalidArgumentError, match="pass what to run"):
                store.run(publish=publish)


def test_of_two_programs_one_publishes_and_the_other_takes_over(
    servers: tuple[Server, Server], store: MessageStore[Noted], name: str
) -> None:
    with publishing(servers, name) as other:
        other.write("note-1", Noted(0))
        until(lambda: publisher_of(servers, name))
        first = publisher_of(servers, name)
        with publishing(servers, name):
            end = threading.Event()
            busy = threading.Thread(target=write_until, args=(store, end))
            busy.start()
            # The second one leaves it to the first: as long as messages come.
            seen = {publisher_of(servers, name) for _ in range(20)}
            assert first in seen
            other.stop()
            until(lambda: publisher_of(servers, name) != first)
            end.set()
            busy.join()
            store.wait_until_readable(store.write("note-1", Noted(2)).global_position)


def write_until(store: MessageStore[Noted], end: threading.Event) -> None:
    while not end.is_set():
        store.write("note-1", Noted(1))


def test_a_publisher_that_finds_it_taken_looks_once_a_second(
    store: MessageStore[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    answers = [(None, False, True), (7, True, False), (7, False, False), (6, False, False)]

    class Stopping:
        def is_set(self) -> bool:
            return not answers

        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            return False

    class Database:
        def rows(self, statement: str, parameters: object) -> list[tuple[int | None, bool, bool]]:
            return [answers.pop(0)]

    class Counter:
        value = 0

    class Waker:
        def __init__(self) -> None:
            self.counter = Counter()
            self.safe_position = 7

        def wait(self, seen: int, timeout: float, borrower: object = None) -> bool:
            waits.append(timeout)
            return True

        wait_beyond = waker.Waker.wait_beyond

    made = publisher.Publisher(Database(), Waker(), Stopping())  # type: ignore[arg-type]
    made.work(lambda: None)
    assert waits[0] == 1.0
    assert 0.02 <= waits[1] <= 0.05
    assert waits[2] > 10  # then the server confirms
    assert waits[3] < 0.1  # the safe position has gone back, and nothing tells when it is as before


def test_a_publisher_waits_while_its_server_is_a_standby(
    servers: tuple[Server, Server], there: MessageStore[Noted], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "pgstore"), running(there):
        until(lambda: "waiting until that passes" in caplog.text)
    assert "read-only" in caplog.text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("read --all", "Noted"),
        ("read --category note", "Noted"),
        ("tail -n 5", "Noted"),
        ("export {folder}/all.jsonl", "1 message"),
        ("stats", "safe"),
        ("subscriptions", "notes"),
        ("doctor", "seconds old"),
    ],
)
def test_commands_read_across_streams_there(
    servers: tuple[Server, Server],
    store: MessageStore[Noted],
    name: str,
    command: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    store.subscription("notes", category="note").create()
    with publishing(servers, name):
        store.wait_until_readable(store.write("note-1", Noted(1)).global_position)
    monkeypatch.setenv("PGSTORE_CONNINFO", servers[1].conninfo)
    monkeypatch.setenv("PGSTORE_STORE", name)
    code = main(command.format(folder=tmp_path).split())
    done = capsys.readouterr()
    assert said in done.out + done.err
    assert code == (1 if command == "doctor" else 0)  # fsync is off
