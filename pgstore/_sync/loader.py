# Generated from pgstore/_async/loader.py by `python tools/unasync.py`.

"""States of streams: made of a snapshot and the messages after it."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Generic, TypeGuard

import psycopg
from psycopg import Connection

from pgstore._core import statements as s
from pgstore._core.arguments import aware, count, describe, name_of, refuse_no_function
from pgstore._core.codec import Codec, codec_of
from pgstore._core.log import log
from pgstore._core.messages import E, MessagePosition
from pgstore._core.states import Made, S, Snapshots
from pgstore._sync.database import Database
from pgstore.errors import InvalidArgumentError

_PAGE = 1000


class Loader(Generic[S, E]):
    """Makes states, remembers the last ones, and saves snapshots."""

    def __init__(
        self,
        database: Database,
        codec: Codec[E],
        evolve: Callable[[S, E], S],
        initial: Callable[[str], S],
        snapshots: Snapshots | None,
        state: object,
        cache: int,
    ) -> None:
        refuse_no_function("evolve", evolve)
        self._database = database
        self._codec = codec
        self._evolve = evolve
        self._initial = initial
        self._snapshots = snapshots
        self._coder: Codec[Any] | None = None
        if snapshots is not None:
            if not isinstance(snapshots, Snapshots):
                raise InvalidArgumentError(
                    f"snapshots must be Snapshots, not {describe(snapshots)}"
                )
            self._coder = codec_of({snapshots.name: state}, None, None)
        self._most = count("cache", cache)
        self._cache: OrderedDict[str, Made[S]] = OrderedDict()

    def load(
        self,
        stream: str,
        at_version: int | None = None,
        at: datetime | None = None,
        conn: Connection[object] | None = None,
    ) -> Made[S]:
        """The state of a stream, of its last message or of an earlier one."""
        name_of("stream", stream)
        if at_version is not None:
            at_version = count("at_version", at_version)
        if at is not None:
            if at_version is not None:
                raise InvalidArgumentError("give at_version or at, not both")
            aware(at)
        made = self._remembered(stream) if at is None and conn is None else None
        made = self._continued(stream, made, at_version, at, conn)
        if at_version is not None and made.version < at_version:
            raise InvalidArgumentError(
                f"stream {stream} is at version {made.version}, so it has no state at version"
                f" {at_version}"
            )
        return made

    def _continued(
        self,
        stream: str,
        made: Made[S] | None,
        at_version: int | None,
        at: datetime | None,
        conn: Connection[object] | None,
    ) -> Made[S]:
        snapshots = self._snapshots if at is None else None
        while True:
            known = (None, None, None) if made is None else _numbers(made)
            rows = self._database.rows(
                s.LOAD_STREAM,
                (
                    stream,
                    None if snapshots is None else snapshots.name,
                    None if snapshots is None else str(snapshots.code_version),
                    None if at_version is None else str(at_version),
                    str(_PAGE),
                    *known,
                ),
                conn,
            )
            version, _, _, data, _, changes = rows[0]
            if made is None or version != made.version or data is not None:
                made = self._begun(stream, version, data, changes)
            for version, position, type_name, data, added_at, _ in rows[1:]:
                if at is not None and added_at > at:
                    return made
                message = self._codec.decode(type_name, data, stream, version)
                made.state = self._evolve(made.state, message)
                made.version = version
                made.position = position
            if len(rows) <= _PAGE:
                return made

    def _begun(self, stream: str, version: int, data: str | None, changes: int) -> Made[S]:
        if data is None or self._snapshots is None or self._coder is None:
            return Made(self._initial(stream), 0, None, changes, 0)
        state = self._coder.decode(self._snapshots.name, data, stream, version)
        return Made(state, version, None, changes, version)

    def advance(self, made: Made[S], messages: Iterable[E], position: MessagePosition) -> None:
        """Continue a state with messages that were written after it."""
        for message in messages:
            made.state = self._evolve(made.state, message)
        made.version = position.version
        made.position = position.global_position

    def is_message(self, value: object) -> TypeGuard[E]:
        """Tell whether a value is of a class of the store's messages."""
        return type(value) in self._codec.types

    def _remembered(self, stream: str) -> Made[S] | None:
        made = self._cache.get(stream)
        return None if made is None else copy.deepcopy(made)

    def keep(self, stream: str, made: Made[S]) -> None:
        """Remember a state of committed messages, and save a snapshot of it if one is due."""
        if self._most and made.position is not None:
            self._cache.pop(stream, None)
            self._cache[stream] = copy.deepcopy(made)
            while len(self._cache) > self._most:
                self._cache.popitem(last=False)
        snapshots = self._snapshots
        if (
            snapshots is None
            or self._coder is None
            or not snapshots.due(made.state, made.version - made.saved_version)
        ):
            return
        _, data = self._coder.encode(made.state)
        made.saved_version = made.version
        try:
            self._database.rows(
                s.SAVE_SNAPSHOT,
                (
                    stream,
                    snapshots.name,
                    str(snapshots.code_version),
                    str(made.version),
                    data.decode(),
                    str(made.changes),
                ),
            )
        except psycopg.Error as error:
            # The state is right without it, and what was decided is written.
            log.warning("no snapshot of stream %s was saved: %s", stream, error)


def _numbers(made: Made[Any]) -> tuple[str, str | None, str]:
    position = None if made.position is None else str(made.position)
    return str(made.version), position, str(made.changes)
