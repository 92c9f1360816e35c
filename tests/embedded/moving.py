"""Programs that use a store while it moves, and the account of what became of their messages."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self
from unittest.mock import patch

import msgspec
import psycopg
import pytest

import pgstore
from pgstore import Directory, MessageStore, StoreMovedError, Subscription, transfer
from pgstore.transfer import Move
from pgstore.transfer.moving._place import End

PATIENCE = 60.0
# After each write: the subscriptions are to keep up on a busy machine.
_PAUSE = 0.01
STORE = "bank"

SETTINGS = {
    "wal_level": "logical",
    "fsync": "off",
    # Nothing is flushed but by who waits for it.
    "wal_writer_delay": "10s",
    "wal_retrieve_retry_interval": "200ms",
    # The small tables of a test are copied side by side.
    "max_sync_workers_per_subscription": "8",
    "max_logical_replication_workers": "12",
    "max_worker_processes": "20",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
}

FENCES = "SELECT new_conninfo FROM bank.fence_of_store()"

# In both databases of the store, because the table of a handler does not move; and in a third.
EFFECTS = "CREATE TABLE effects (number bigint PRIMARY KEY)"


class Noted(msgspec.Struct):
    number: int


def until(condition: Callable[[], bool], what: str = "") -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def connected(conninfo: str) -> psycopg.Connection[Any]:
    """A session of the test's own: what limits those of the database does not end it."""
    return psycopg.connect(conninfo, autocommit=True, options="-c statement_timeout=0")


def rows(conninfo: str, statement: str, *parameters: object) -> list[Any]:
    with connected(conninfo) as conn:
        return conn.execute(statement.encode(), parameters or None).fetchall()


def do(conninfo: str, statements: str) -> None:
    with connected(conninfo) as conn:
        conn.execute(statements.encode())


def left_behind(conninfo: str) -> list[str]:
    """What a move makes in a database, and removes."""
    return [
        name
        for (name,) in rows(
            conninfo,
            "SELECT pubname FROM pg_publication UNION ALL SELECT subname FROM pg_subscription"
            " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " UNION ALL SELECT slot_name FROM pg_replication_slots"
            " WHERE database = current_database()",
        )
    ]


def remove_left_behind(*conninfos: str) -> None:
    """Remove it, after a test that has failed: no database can be dropped with it."""
    # Subscriptions first: a worker would use its slot again.
    for conninfo in conninfos:
        with connected(conninfo) as conn:
            for (name,) in conn.execute(
                "SELECT subname FROM pg_subscription WHERE subdbid ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchall():
                for words in ("ALTER {} DISABLE", "ALTER {} SET (slot_name = NONE)", "DROP {}"):
                    conn.execute(words.format(f"SUBSCRIPTION {name}").encode())
    for conninfo in conninfos:
        for (name,) in rows(conninfo, "SELECT pubname FROM pg_publication"):
            do(conninfo, f"DROP PUBLICATION {name}")
        slots = "FROM pg_replication_slots WHERE database = current_database()"
        rows(conninfo, f"SELECT pg_terminate_backend(active_pid, 10000) {slots} AND active")
        rows(conninfo, f"SELECT pg_drop_replication_slot(slot_name) {slots}")


class Load:
    """Four writers, a follower, and two subscriptions: effects here, and in another database."""

    def __init__(self, directory: Directory, elsewhere: str, after: int = 0) -> None:
        """Readers begin after a position; what is before it is nobody's."""
        self.after = after
        self.acknowledged: list[list[int]] = [[] for _ in range(4)]
        self.followed: list[int] = []
        self.stall = 0.0  # the longest time between two acknowledgements of a writer
        self.told = 0  # how many transactions raised StoreMovedError
        self.errors: list[BaseException] = []
        self._directory = directory
        self._elsewhere = elsewhere
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._effects = self._opened.enter_context(
            psycopg.connect(self._elsewhere, autocommit=True)
        )
        self._store = self._open()
        self._readers = self._open()
        inside = self._store.subscription("inside", partitions=2, max_attempts=1)
        inside.handler(self._count_inside)
        outside = self._store.subscription("outside", max_attempts=1)
        outside.handler(self._count_outside)
        self._subscriptions = [inside, outside]
        for each in self._subscriptions if self.after else []:
            each.rewind(self.after)
        for number in range(4):
            # One of them writes two streams in a transaction each time.
            write = self._write_together if number == 0 else self._write
            self._start(write, number)
        self._start(self._follow)
        for each in self._subscriptions:
            self._start(self._readers_run(each))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ends.set()
        self._readers.stop()
        self._store.stop()
        self._opened.close()

    @property
    def written(self) -> list[int]:
        return [number for numbers in self.acknowledged for number in numbers]

    def goes_on(self, more: int = 20) -> None:
        """Wait until each writer has written so many more."""
        before = [len(numbers) for numbers in self.acknowledged]
        until(
            lambda: (
                all(
                    len(numbers) > count + more
                    for numbers, count in zip(self.acknowledged, before, strict=True)
                )
                or bool(self.errors)
            ),
            "the writers do not go on",
        )
        self._raise_error()

    def settle(self) -> None:
        """End the writers, and wait until everybody has seen what they have written."""
        self._ends.set()
        for thread in self._threads[:4]:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        count = len(self.written)
        until(lambda: len(self.followed) >= count or bool(self.errors), "the follower")
        end = self.followed[-1]
        for each in self._subscriptions:
            each.wait_until(end, timeout=PATIENCE)
        self._raise_error()

    def _raise_error(self) -> None:
        """Raise what has ended a program."""
        for error in self.errors:
            raise error

    def _open(self) -> MessageStore[Noted]:
        return self._opened.enter_context(self._directory.store(STORE, messages=Noted))

    def _start(self, work: Callable[..., None], *given: object) -> None:
        def guarded() -> None:
            try:
                work(*given)
            except BaseException as error:
                self.errors.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _write(self, writer: int) -> None:
        store = self._open()
        last = time.monotonic()
        number = writer
        while not self._ends.is_set():
            store.write(f"note-{writer}-{number % 40}", Noted(number))
            self.acknowledged[writer].append(number)
            number += 4
            now = time.monotonic()
            self.stall = max(self.stall, now - last)
            time.sleep(_PAUSE)
            last = time.monotonic()

    def _write_together(self, writer: int) -> None:
        """A transaction of two streams; the caller begins it again where it was told of a move."""
        store = self._open()
        number = writer
        while not self._ends.is_set():
            try:
                with store.transaction() as conn:
                    store.write(f"pair-{number % 40}", Noted(number), conn=conn)
                    store.write(f"pair-{number % 40 + 1}", Noted(number + 4), conn=conn)
            except StoreMovedError:
                self.told += 1
                time.sleep(0.02)
                continue
            self.acknowledged[writer] += [number, number + 4]
            number += 8
            time.sleep(_PAUSE)

    def _follow(self) -> None:
        for stored in self._readers.follow(after_position=self.after):
            self.followed.append(stored.global_position)

    def _readers_run(self, subscription: Subscription[Noted]) -> Callable[[], None]:
        return lambda: self._store.run(subscription, workers=2, signals=False)

    def _count_inside(self, message: Noted, conn: psycopg.Connection[Any]) -> None:
        conn.execute("INSERT INTO public.effects VALUES (%s)", [message.number])

    def _count_outside(self, message: Noted) -> None:
        # Again where the acknowledgement did not arrive: the number of the message tells.
        self._effects.execute(
            "INSERT INTO public.effects VALUES (%s) ON CONFLICT DO NOTHING", [message.number]
        )


class Places(NamedTuple):
    """Where the store is and where it is to go, a directory, and a database of effects."""

    source: str
    target: str
    directory: Directory
    elsewhere: str

    def back(self) -> "Places":
        return self._replace(source=self.target, target=self.source)


def verified(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        wrong = [each for each in transfer.verify(conn, store=STORE) if each.wrong]
    assert not wrong, wrong


def move(places: Places, **options: object) -> list[str]:
    """Move the store; the steps."""
    steps: list[str] = []

    def told(step: str, detail: str) -> None:
        steps.append(step)

    given: dict[str, Any] = {
        "store": STORE,
        "directory": places.directory,
        "progress": told,
        "replace_closed": True,
    }
    with Move(places.source, places.target, **given | options) as found:
        found.run()
    return steps


@contextmanager
def cut_off_at(end: End, method: str, words: str) -> Iterator[None]:
    """Ctrl-C, instead of the statement that begins with these words."""
    really = getattr(end, method)

    def cut_off(statement: str, *parameters: object, **names: object) -> object:
        if statement.startswith(words):
            raise KeyboardInterrupt
        return really(statement, *parameters, **names)

    with patch.object(end, method, cut_off), pytest.raises(KeyboardInterrupt):
        yield


def wrong(places: Places, **options: object) -> dict[str, str]:
    """The checks that are in the way of a move, with what they have found."""
    with Move(places.source, places.target, store=STORE, **options) as found:  # type: ignore[arg-type]
        return {each.check: each.found for each in found.check() if each.wrong}


def at(places: Places, step: str, act: Callable[[], object]) -> None:
    """Move the store, and do something when a step begins."""

    def told(said: str, detail: str) -> None:
        if said == step and not detail:
            act()

    move(places, progress=told)


class Ended(BaseException):
    """Ends a move here."""


def run_until(places: Places, last: str) -> None:
    """As if the program had been killed before a step: nothing is done after that."""

    def told(step: str, detail: str) -> None:
        if step == last:
            raise Ended

    with (
        pytest.MonkeyPatch.context() as patch,
        Move(
            places.source, places.target, store=STORE, directory=places.directory, progress=told
        ) as found,
    ):
        patch.setattr(found, "_open_again", lambda error, opens: None)
        with pytest.raises(Ended):
            found.run()


def store_of(places: Places) -> pgstore.MessageStore[Noted]:
    return places.directory.store(STORE, messages=Noted)


def effects(conninfo: str) -> list[int]:
    return [number for (number,) in rows(conninfo, "SELECT number FROM public.effects")]


def nothing_is_lost(places: Places, load: Load) -> None:
    """Nothing is lost, nothing is there twice, and nobody has skipped anything."""
    stored = rows(
        places.target,
        "SELECT global_position, (data ->> 'number')::bigint FROM bank.all_messages ORDER BY 1",
    )
    numbers = [number for _, number in stored]
    assert sorted(numbers) == sorted(load.written)
    assert load.followed == [position for position, _ in stored]
    # Each effect is in the database in which its message was acknowledged: in one of them.
    assert sorted(effects(places.source) + effects(places.target)) == sorted(numbers)
    assert sorted(effects(places.elsewhere)) == sorted(numbers)
    # No move counts as a failed attempt: after one the subscriptions would have stopped.
    assert rows(places.target, "SELECT FROM bank.list_partitions() WHERE attempts > 0") == []
    verified(places.target)
    assert left_behind(places.source) == left_behind(places.target) == []
