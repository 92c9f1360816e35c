"""Readers of a store that is being written to, each in a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Self

import psycopg

import pgstore
from pgstore import MessageStore
from tests.stress.messages import Noted, Seen, seen
from tests.stress.writer import CATEGORIES

_NAP = 0.002
_PATIENCE = 30.0

_NAIVE = "SELECT global_position FROM {name}.messages WHERE global_position > %s ORDER BY 1"

Look = Callable[[int], list[Seen]]  # what there is after a position


class Reader:
    """Looks again and again after the last position that it has seen."""

    def __init__(self, name: str, look: Look) -> None:
        self.name = name
        self.seen: list[Seen] = []
        self._look = look
        self._until: int | None = None
        self._thread = threading.Thread(target=self._run, name=name)
        self._error: BaseException | None = None
        self._thread.start()

    @property
    def last(self) -> int:
        return self.seen[-1][0] if self.seen else 0

    def finish(self, position: int, patience: float = _PATIENCE) -> None:
        """Read up to a position, and end."""
        self._until = position
        end = time.monotonic() + patience
        while self._thread.is_alive() and not self._over() and time.monotonic() < end:
            time.sleep(_NAP)
        self._until = -1
        self.stop()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End what waits."""

    def _over(self) -> bool:
        return self._until is not None and self.last >= self._until

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self._error = error

    def _read(self) -> None:
        while not self._over():
            self.seen += self._look(self.last)
            time.sleep(_NAP)


class FollowReader(Reader):
    """Iterates over `follow`, in a thread."""

    def __init__(self, store: MessageStore[Noted]) -> None:
        self._follower = store.follow()
        super().__init__("follow", lambda _: [])

    def stop(self) -> None:
        self._follower.stop()

    def _read(self) -> None:
        with self._follower as messages:
            while not self._over():
                for each in messages:
                    self.seen.append(seen(each))
                    break
                else:
                    return


class AsyncFollowReader(Reader):
    """Iterates over `follow`, in an event loop of its own."""

    def __init__(self, conninfo: str, name: str) -> None:
        self._conninfo = conninfo
        self._store = name
        super().__init__("async follow", lambda _: [])

    def _read(self) -> None:
        asyncio.run(self._follow())

    async def _follow(self) -> None:
        async with pgstore.AsyncMessageStore(
            self._conninfo, store=self._store, messages=Noted, create=False
        ) as store:
            while not self._over():
                # Ends now and then, and goes on where it was.
                async with store.follow(after_position=self.last, timeout=1.0) as messages:
                    async for each in messages:
                        self.seen.append(seen(each))
                        if self._over():
                            return


class Readers:
    """All kinds of them."""

    def __init__(self, conninfo: str, name: str) -> None:
        self._store = pgstore.MessageStore(conninfo, store=name, messages=Noted, create=False)
        self._conn = psycopg.connect(conninfo, autocommit=True)
        naive = _NAIVE.replace("{name}", name).encode()

        def positions(last: int) -> list[Seen]:
            rows = self._conn.execute(naive, (last,)).fetchall()
            return [(position, "", 0, "", 0, 0) for (position,) in rows]

        def read_all(last: int) -> list[Seen]:
            return [seen(each) for each in self._store.read_all(after_position=last)]

        def read_category(category: str) -> Look:
            def look(last: int) -> list[Seen]:
                found = self._store.read_category(category, after_position=last)
                return [seen(each) for each in found]

            return look

        self.naive = Reader("naive", positions)
        self.of_all = [
            Reader("read_all", read_all),
            FollowReader(self._store),
            AsyncFollowReader(conninfo, name),
        ]
        self.of_category = {
            category: Reader(f"read_category {category}", read_category(category))
            for category in CATEGORIES
        }

    def finish(self, stored: list[Seen]) -> None:
        """Read everything there is, and end."""
        last = stored[-1][0]
        for reader in (self.naive, *self.of_all):
            reader.finish(last)
        for category, reader in self.of_category.items():
            reader.finish(max(each[0] for each in stored if each[1].startswith(category)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in (self.naive, *self.of_all, *self.of_category.values()):
            reader.finish(0)
        self._store.close()
        self._conn.close()
