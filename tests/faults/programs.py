"""Writers and readers that live through faults, each in a thread of its own."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import psycopg

import pgstore
from pgstore import MessageStore
from tests.faults.counts import Note
from tests.stress.messages import Noted, Seen, seen
from tests.stress.writer import STREAMS

T = TypeVar("T")

_PATIENCE = 120.0
_AGAIN = 0.05
# Of a writer's turns so many are rolled back, each with more positions than the server's log has
# noted ahead: 32.
_BACK, _MANY = 0.1, 40
_NAP = 0.01


class Kept(Noted):
    """A message with an id of its own, so that its write can be repeated."""

    def get_message_id(self) -> UUID:
        return UUID(int=(self.writer << 64) + self.number)


class RolledBack(Exception):
    pass


def until_answered(call: Callable[[], T], patience: float = _PATIENCE) -> T:
    """Call until it is answered: what it does must be the same once and twice."""
    end = time.monotonic() + patience
    while True:
        try:
            return call()
        except psycopg.Error:
            if time.monotonic() > end:
                raise
            time.sleep(_AGAIN)


def wait_for_all(answers: Callable[[], list[int]]) -> float:
    """Wait until each number of answers has grown; the seconds that it took."""
    start, before = time.monotonic(), answers()
    while any(now == count for now, count in zip(answers(), before, strict=True)):
        assert time.monotonic() < start + _PATIENCE / 2, "not all of the programs go on"
        time.sleep(0.005)
    return round(time.monotonic() - start, 2)


class Program:
    """Runs in a thread until `finish`, which raises what ended it before."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self._error = error

    def work(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Ask it to end; may be called again until it has."""
        self.stopping.set()

    def finish(self) -> None:
        end = time.monotonic() + _PATIENCE + 10
        while self.alive:
            assert time.monotonic() < end, f"{type(self).__name__} does not end"
            self.stop()
            self._thread.join(0.05)
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what ended it, if anything did."""
        if self._error is not None:
            raise self._error


class Writer(Program):
    """Writes single messages, batches and transactions; repeats what was not answered."""

    def __init__(self, store: MessageStore[Noted], number: int) -> None:
        super().__init__()
        self.acknowledged: set[Note] = set()
        self.errors = 0
        self._store = store
        self._writer = number
        self._number = 0
        self._chance = random.Random(number)

    def work(self) -> None:
        while not self.stopping.wait(_NAP):
            stream = self._chance.choice(STREAMS)
            if self._chance.random() < _BACK:
                self._roll_back(stream)
            messages = [self._next() for _ in range(self._chance.choice((1, 1, 2, 3)))]
            end = time.monotonic() + _PATIENCE
            while not self._write(stream, messages):
                assert time.monotonic() < end, "a write was not answered"
                time.sleep(_AGAIN)
            self.acknowledged.update((each.writer, each.number) for each in messages)

    def _write(self, stream: str, messages: list[Kept]) -> bool:
        try:
            if len(messages) == 1:
                self._store.write(stream, messages[0])
            elif len(messages) == 2:
                with self._store.transaction() as tx:
                    for each in messages:
                        self._store.write(stream, each, conn=tx)
            else:
                self._store.write_many(stream, messages)
        except psycopg.Error:
            self.errors += 1
            return False
        return True

    def _roll_back(self, stream: str) -> None:
        """Use positions up."""
        try:
            with self._store.transaction() as tx:
                self._store.write_many(stream, [self._next() for _ in range(_MANY)], conn=tx)
                raise RolledBack
        except RolledBack:
            pass
        except psycopg.Error:
            self.errors += 1

    def _next(self) -> Kept:
        self._number += 1
        return Kept(self._writer, self._number)


class Reader(Program):
    """Reads all messages; `ended` counts the errors that it should not have seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.ended = 0

    @property
    def last(self) -> int:
        return self.seen[-1][0] if self.seen else 0

    def finish_at(self, position: int, patience: float) -> None:
        """Wait until it has read so far, for so long; then end it."""
        end = time.monotonic() + patience
        while self.last < position and self.alive and time.monotonic() < end:
            time.sleep(0.01)
        self.finish()


class Following(Reader):
    """One endless `follow`, which waits out what happens to the server."""

    def __init__(self, store: MessageStore[Noted]) -> None:
        super().__init__()
        self._store = store
        self._follower = store.follow()

    def work(self) -> None:
        while not self.stopping.is_set():
            try:
                for each in self._follower:
                    self.seen.append(seen(each))
            except psycopg.Error:
                self.ended += 1
                self.stopping.wait(_AGAIN)
            self._follower = self._store.follow(after_position=self.last)

    def stop(self) -> None:
        super().stop()
        self._follower.stop()


class AsyncFollowing(Reader):
    """The same, in an event loop of its own."""

    def __init__(self, conninfo: str, name: str) -> None:
        super().__init__()
        self._store = pgstore.AsyncMessageStore(conninfo, store=name, messages=Noted, create=False)
        self._follower = self._store.follow()

    def work(self) -> None:
        asyncio.run(self._follow())

    async def _follow(self) -> None:
        async with self._store:
            while not self.stopping.is_set():
                try:
                    async for each in self._follower:
                        self.seen.append(seen(each))
                except psycopg.Error:
                    self.ended += 1
                    await asyncio.sleep(_AGAIN)
                self._follower = self._store.follow(after_position=self.last)

    def stop(self) -> None:
        super().stop()
        self._follower.stop()


class Continuing(Reader):
    """Begins a new `follow` again and again, at the position that the last one has told."""

    def __init__(self, store: MessageStore[Noted]) -> None:
        super().__init__()
        self._store = store

    def work(self) -> None:
        position = 0
        while not self.stopping.is_set():
            follower = self._store.follow(after_position=position, timeout=0.02)
            try:
                for each in follower:
                    self.seen.append(seen(each))
            except psycopg.Error:
                self.stopping.wait(_AGAIN)
            position = follower.position


class Looking(Reader):
    """Calls `read_all` again and again, after the last message that it has seen."""

    def __init__(self, store: MessageStore[Noted]) -> None:
        super().__init__()
        self._store = store

    def work(self) -> None:
        while not self.stopping.wait(0.01):
            try:
                for each in self._store.read_all(after_position=self.last):
                    self.seen.append(seen(each))
            except psycopg.Error:
                self.stopping.wait(_AGAIN)
