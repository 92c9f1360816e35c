# Generated from pgstore/_async/grouping.py by `python tools/unasync.py`.

"""Writes of concurrent tasks, sent together."""

from functools import partial

import psycopg
from psycopg_pool import PoolClosed

from pgstore._compat.events import Turn, soon
from pgstore._compat.tasks import finish, pause
from pgstore._core import statements as s
from pgstore._core.deadlines import deadline, left
from pgstore._core.groups import LATE, Groups, Place, Texts, Write, lines
from pgstore._sync.database import Database
from pgstore.errors import InvalidArgumentError

# A write that still waits after so many looks, of LATE seconds each, is written by itself. The id
# makes that safe, whatever becomes of its group.
_LOOKS = 100


class Grouping:
    """Sends the writes of concurrent tasks in groups: one statement, one transaction.

    A write is sent at once, alone, unless enough statements are being sent. Writes that come
    meanwhile wait until one of these has ended, and go as one group. The first of them sends it. A
    message that the group does not store is written singly, by its own task, which gets the error.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._groups = Groups()

    def write(self, parameters: Texts) -> Place:
        """Write one message; its version and position."""
        closings = self._database.source.closings
        self._database.ready()  # after a fork, say so before anything is waited for
        write = Write(parameters)
        if "\n" in write.stream:  # which ends a name among the lines of a group
            return self._singly(parameters, closings)
        try:
            self._groups.enter(write, Turn, soon)
            if isinstance(write.turn, Turn):
                self._wait(write.turn)
            if write.group is not None and len(write.group) > 1:
                group, write.group = write.group, None
                # Not cancelled with this task: the others wait for it.
                finish(partial(self._send, closings), group)
            if write.error is not None:
                raise type(write.error)(*write.error.args) from write.error
            return write.place or self._singly(parameters, closings)
        finally:
            self._groups.leave(write)

    def finish(self, patience: float) -> None:
        """Wait for the writes that wait."""
        until = deadline(patience)
        waiting = self._groups.waiting()
        while not all(write.ended for write in waiting) and left(until):
            pause(0.01)

    def _singly(self, parameters: Texts, closings: int) -> Place:
        # A write that began before the store was closed does not open it again.
        self._database.source.ready(closings)
        ((version, position),) = self._database.rows(s.WRITE, parameters)
        return version, position

    def _wait(self, turn: Turn) -> None:
        for _ in range(_LOOKS):
            if turn.wait(LATE):
                return
            self._groups.look()

    def _send(self, closings: int, group: list[Write]) -> None:
        try:
            self._database.source.ready(closings)
            stored = self._database.rows(s.WRITE_GROUP, lines(group))
            places = {message_id: (version, position) for message_id, version, position in stored}
            for write in group:
                write.place = places.get(write.message_id)
        except (psycopg.Error, InvalidArgumentError) as error:
            if (
                isinstance(error, psycopg.OperationalError)
                and error.sqlstate is None
                and not isinstance(error, PoolClosed)  # some may have begun afterwards
            ):
                # No connection, after all the tries there are: do not make each write try as often.
                for write in group:
                    write.error = error
        finally:
            self._groups.finish(group)
