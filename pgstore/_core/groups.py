"""Writes that are sent together: which, when, and how many at once."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
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
        *("turn", "waits", "group", "sent", "place", "error", "ended"),
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
        self.sent = False  # its stream counts as being written to
        self.place: Place | None = None
        self.error: Exception | None = None
        self.ended = False


class Groups:
    """The writes of a process that wait, and those that are being sent.

    Threads share it. A signal's handler may write, too, while its thread holds the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: deque[Write] = deque()
        self._sending: dict[int, float] = {}
        self._streams: dict[str, int] = {}

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
        with self._lock:
            self._sending.pop(id(group), None)
            for write in group:
                if write.place is not None:
                    self._release(write)
                if write.turn is not None:
                    write.turn.set()
            self._begin()

    def leave(self, write: Write) -> None:
        """Note the end of a write, in whatever way."""
        with self._lock:
            write.ended = True
            self._release(write)
            if write.waits:
                self._waiting.remove(write)
            if write.group is not None:
                self.finish(write.group)
            else:
                self._begin()

    def waiting(self) -> list[Write]:
        """The writes that wait."""
        with self._lock:
            return list(self._waiting)

    def _begin(self) -> None:
        """Have the first write that waits send the next group, unless enough are being sent."""
        while self._waiting and len(self._sending) < AT_ONCE and (group := self._gathered()):
            self._sending[id(group)] = time.monotonic()
            group[0].group = group
            if group[0].turn is not None:
                group[0].turn.set()

    def _gathered(self) -> list[Write]:
        """The next group: no stream that is being written to, and no id twice."""
        group: list[Write] = []
        later: list[Write] = []
        ids = set()
        text = 0
        while self._waiting and len(group) < _MOST:
            write = self._waiting.popleft()
            if write.stream in self._streams or write.message_id in ids:
                later.append(write)
                continue
            text += write.text
            if group and text > _MOST_TEXT:
                later.append(write)
                break
            ids.add(write.message_id)
            group.append(write)
        self._waiting.extendleft(reversed(later))
        for write in group:
            write.waits, write.sent = False, True
            self._streams[write.stream] = self._streams.get(write.stream, 0) + 1
        return group

    def _release(self, write: Write) -> None:
        if write.sent:
            write.sent = False
            left = self._streams[write.stream] - 1
            if left:
                self._streams[write.stream] = left
            else:
                del self._streams[write.stream]


def lines(group: list[Write]) -> list[str]:
    """The parameters of the group's statement: a text each, with a line for each message."""
    columns = zip(*[write.parameters for write in group], strict=True)
    return ["\n".join([each or "" for each in column]) for column in columns]
