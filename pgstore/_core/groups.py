"""Writes that are sent together: which, when, and how many at once."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Protocol

# So many statements are sent at once, each on a connection of the pool.
AT_ONCE = 2

# Of a group: messages, and characters of their JSON.
_MOST = 100
_MOST_TEXT = 1 << 20

# A statement that takes longer than so many seconds no longer keeps the next one from being sent:
# it may wait for a stream that a long transaction has written to.
LATE = 0.1

Texts = Sequence[str | None]
Place = tuple[int, int]


class Turn(Protocol):
    """The event that a write waits for."""

    def set(self) -> None: ...


class Write:
    """One call of `write`."""

    __slots__ = (
        *("parameters", "stream", "message_id", "text"),
        *("turn", "waits", "group", "place", "error", "ended"),
    )

    def __init__(self, parameters: Texts) -> None:
        self.parameters = parameters
        stream, _, data, metadata, _, message_id = parameters
        self.stream = stream or ""
        self.message_id = message_id
        self.text = len(data or "") + len(metadata or "")
        self.turn: Turn | None = None
        self.waits = True
        self.group: list[Write] | None = None  # that this one is to send; itself is the first
        self.place: Place | None = None
        self.error: Exception | None = None
        self.ended = False


class Groups:
    """The writes of a process that wait, and those that are being sent.

    Threads share it. A signal's handler may write, too, while its thread holds the lock; or it may
    interrupt this thread between any two steps. So each step can be repeated.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: deque[Write] = deque()
        # Those that wait for the end of another write to their stream. Apart from the others:
        # otherwise each look for the next group would go through all of them.
        self._held: dict[str, deque[Write]] = {}
        self._sending: dict[int, float] = {}
        self._streams: dict[str, set[Write]] = {}  # that are being written to

    def enter(
        self,
        write: Write,
        turn: Callable[[], Turn],
        soon: Callable[[Callable[[], None]], object] = lambda call: call(),
    ) -> None:
        """Let it be sent at once, as a group of its own, or give it a turn to wait for."""
        with self._lock:
            self._waiting.append(write)
            if not self._sending:
                self._begin()
            if write.group is None:
                write.turn = turn()
                if len(self._sending) < AT_ONCE:
                    # With those that come in the same step of the loop, as after a group's end.
                    soon(self.begin)

    def begin(self) -> None:
        """Send the next group, if there may be one more."""
        with self._lock:
            self._begin()

    def look(self) -> None:
        """Send the next group in spite of statements that are late."""
        with self._lock:
            late = time.monotonic() - LATE
            self._sending = {each: since for each, since in self._sending.items() if since > late}
            self._begin()

    def finish(self, group: list[Write]) -> None:
        """Note the end of a group: its writes have a place, or an error, or are written singly."""
        try:
            self._end(group)
        except BaseException:  # of a signal's handler
            self._end(group)
            raise

    def leave(self, write: Write) -> None:
        """Note the end of a write, in whatever way."""
        with self._lock:
            write.ended = True
            self._release(write)
            if write.waits:
                for queue in (self._waiting, self._held.get(write.stream, self._waiting)):
                    with suppress(ValueError):  # it is not there
                        queue.remove(write)
            if write.group is not None:
                self.finish(write.group)
            else:
                self._begin()

    def waiting(self) -> list[Write]:
        """The writes that wait."""
        with self._lock:
            return list(chain(self._waiting, *self._held.values()))

    def _end(self, group: list[Write]) -> None:
        with self._lock:
            self._sending.pop(id(group), None)
            for write in group:
                if write.place is not None:
                    self._release(write)
                if write.turn is not None:
                    write.turn.set()
            self._begin()

    def _begin(self) -> None:
        """Have the first write that waits send the next group, unless enough are being sent."""
        while self._waiting and len(self._sending) < AT_ONCE:
            group: list[Write] = []
            try:
                self._gather(group)
                if not group:
                    return
                self._sending[id(group)] = time.monotonic()
                group[0].group = group
                if group[0].turn is not None:
                    group[0].turn.set()
            except BaseException:  # of a signal's handler
                for write in group:  # nobody sends it: each goes by itself
                    if write.turn is not None:
                        write.turn.set()
                raise

    def _gather(self, group: list[Write]) -> None:
        """Take the next group: no stream that is being written to, and no id twice."""
        later: list[Write] = []
        ids = set()
        text = 0
        try:
            while self._waiting and len(group) < _MOST:
                write = self._waiting.popleft()
                if write.stream in self._streams:
                    self._held.setdefault(write.stream, deque()).append(write)
                    continue
                if write.message_id in ids:
                    later.append(write)
                    continue
                text += write.text
                if group and text > _MOST_TEXT:
                    later.append(write)
                    break
                ids.add(write.message_id)
                group.append(write)
        finally:
            self._waiting.extendleft(reversed(later))
        for write in group:
            write.waits = False
            self._streams.setdefault(write.stream, set()).add(write)

    def _release(self, write: Write) -> None:
        sent = self._streams.get(write.stream)
        if sent is not None:
            sent.discard(write)
            if not sent:
                del self._streams[write.stream]
                self._waiting.extendleft(reversed(self._held.pop(write.stream, ())))


def lines(group: list[Write]) -> list[str]:
    """The parameters of the group's statement: a text each, with a line for each message."""
    columns = zip(*[write.parameters for write in group], strict=True)
    return ["\n".join([each or "" for each in column]) for column in columns]
