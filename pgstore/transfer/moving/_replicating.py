"""The replication of a store's tables: publication and slot, subscription, and how far it is."""

import time
from collections.abc import Callable

import psycopg
from psycopg import sql

from pgstore._sync.cursor import run
from pgstore.transfer._errors import MoveError
from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._checks import name_of
from pgstore.transfer.moving._place import End, quoted

# Seconds between two looks: while tables are copied, and while everybody waits.
_SLOW, _FAST = 0.2, 0.01
# A target that is behind by less than that has caught up: the rest takes some milliseconds.
_CLOSE = 1 << 20
# Seconds without a worker of the subscription after which something is wrong; and errors of its
# workers, and seconds, in which no table is copied: one that begins again finds its slot in use.
_NO_WORKER = 60.0
_ERRORS, _FAILING = 3, 10.0
# Its commits do not wait for standbys: one after the other, they would fall behind the source's.
# The comparison finds what a failover of the target loses by that.
_SUBSCRIBE = (
    "CREATE SUBSCRIPTION {name} CONNECTION {source} PUBLICATION {name}"
    " WITH (create_slot = false, slot_name = {text}, synchronous_commit = off)"
)
_REPLICATE_FROM = "--replicate-from says how the target's server connects to the source"
_SEE_LOG = (
    "its server's log says why: often it cannot connect to the source (--replicate-from says how),"
    " or not read there"
)


class Replication:
    """Begins and ends the replication, and waits for it."""

    def __init__(
        self, source: End, target: End, patience: float, step: Callable[[str, str], None]
    ) -> None:
        self._source, self._target = source, target
        self._patience = patience
        self._step = step
        self._name = name_of(source)

    def begin(self, conninfo: str, *, anew: bool) -> None:
        """Make publication, slot and subscription, as far as they are not there.

        A subscription that is there connects as `conninfo` says if `anew`: a password has changed,
        or the first one was a mistake.
        """
        if not self._source.has(q.MOVES_TO, self._name):
            self._publish()
        if self._target.has(q.SUBSCRIPTION, self._name):
            self._refuse_lost()
            if anew:
                self._subscribe("ALTER SUBSCRIPTION {name} CONNECTION {source}", conninfo)
            return
        # A slot that a move has left which was cut off between the two.
        self._drop_slot(self._name)
        # Not by CREATE SUBSCRIPTION: between two databases of one server that waits for itself.
        self._make_slot()
        self._subscribe(_SUBSCRIBE, conninfo)

    def _publish(self) -> None:
        store, names = self._source.store, self._source.names(q.TABLES)
        tables = sql.SQL(", ").join(sql.Identifier(store, name) for name in names)
        place = sql.Literal(self._target.place)
        with self._source.conn.transaction():
            self._source.do(
                "CREATE PUBLICATION {name} FOR TABLE {tables}", name=self._name, tables=tables
            )
            self._source.do("COMMENT ON PUBLICATION {name} IS {to}", name=self._name, to=place)

    def _make_slot(self) -> None:
        """Make the slot: PostgreSQL waits for all transactions of the server that have written."""
        try:
            with self._source.conn.transaction():
                self._source.rows(q.TIME_LIMIT, f"{self._patience} s")
                self._source.rows(q.MAKE_SLOT, self._name)
        except psycopg.errors.QueryCanceled:
            open_ones = self._source.rows(q.WRITING)
            raise MoveError(
                f"transactions have been open for {self._patience:g} seconds:"
                f" {', '.join(str(name) for (name,) in open_ones)}",
                hint="end them, or move the store with more --patience; nothing was closed",
            ) from None

    def _subscribe(self, words: str, conninfo: str) -> None:
        statement = quoted(
            words, name=self._name, source=sql.Literal(conninfo), text=sql.Literal(self._name)
        )
        try:
            with self._target.conn.transaction():
                self._target.rows(q.SET_SUBSCRIBE, statement.as_string())
                self._target.conn.execute(q.SUBSCRIBE)
                # PostgreSQL only warns that a database has no such publication.
                if not self._target.has(q.COPIED, self._name):
                    raise MoveError(
                        "the connection for the replication does not lead to the source",
                        hint=_REPLICATE_FROM,
                    )
        except psycopg.Error as error:
            raise MoveError(
                f"the target cannot subscribe: {error.diag.message_primary or error}",
                hint=_REPLICATE_FROM,
            ) from None

    def wait_for_copy(self) -> None:
        """Wait until the target has what is there, and keeps up."""
        self._step("copy", "")
        worked = time.monotonic()
        before = -1, 0, worked
        here = self._source.value(q.BYTES, self._source.store) >> 20
        while True:
            ((tables, copied, works),) = self._target.rows(q.COPIED, self._name) or [(1, 0, False)]
            behind = self._source.value(q.BEHIND, self._name)
            errors = self._errors()
            if behind is None:
                self._refuse_lost()
            there = self._target.value(q.BYTES, self._target.store) >> 20
            self._step(
                "copy",
                f"{copied} of {tables} tables, {there} of {here} MB,"
                f" {int(behind or 0) >> 10} kB behind",
            )
            if copied == tables and works and behind is not None and behind < _CLOSE:
                return
            if works:
                worked = time.monotonic()
            if copied != before[0]:
                before = copied, errors, time.monotonic()
            fails = errors >= before[1] + _ERRORS and time.monotonic() > before[2] + _FAILING
            if fails or time.monotonic() > worked + _NO_WORKER:
                self._refuse_lost()
                raise MoveError("the target does not replicate", hint=_SEE_LOG)
            time.sleep(_SLOW)

    def _errors(self) -> int:
        if self._target.conn.info.server_version < 150000:
            return 0
        return int(self._target.value(q.ERRORS, self._name) or 0)

    def follow(self) -> None:
        """Wait until the target has what the source has by now, as long as it comes closer."""
        if not self._confirmed(self._source.value(q.END_NOW), _NO_WORKER, renewed=True):
            raise MoveError("the target does not replicate", hint=_SEE_LOG)

    def drain(self) -> None:
        """Wait until the target has confirmed all that was committed before the fence."""
        # The source sends only the part of its log that is flushed. A read of the closed store may
        # write too, when it prunes a page, and no commit follows that would flush it.
        self._source.rows(q.FLUSH)
        if not self._confirmed(self._source.value(q.END), self._patience):
            raise MoveError(
                f"the target has not caught up within {self._patience:g} seconds",
                hint="move the store at a quieter time, or with more patience",
            )

    def _confirmed(self, end: str, patience: float, *, renewed: bool = False) -> bool:
        """Wait so long, or that long after each step, until the target has confirmed it."""
        until, before = time.monotonic() + patience, ""
        with self._target.connected() as flusher:
            while True:
                rows = self._source.rows(q.HAS_PASSED, end, self._name)
                if not rows:
                    raise lost()
                passed, confirmed = rows[0]
                if passed or time.monotonic() > until:
                    return bool(passed)
                if renewed and confirmed != before:
                    until, before = time.monotonic() + patience, confirmed
                # The target confirms what it has flushed, the source sends what it has.
                run(flusher, q.FLUSH, ())
                self._source.rows(q.FLUSH)
                time.sleep(_FAST)

    def end(self) -> None:
        """Remove the subscription and its slots."""
        subscription = self._target.value(q.SUBSCRIPTION, self._name)
        if subscription is not None:
            self._target.do("ALTER SUBSCRIPTION {name} DISABLE", name=self._name)
            # Otherwise DROP SUBSCRIPTION would drop the slot too, over a connection of its own.
            self._target.do("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)", name=self._name)
            self._target.do("DROP SUBSCRIPTION {name}", name=self._name)
            for (slot,) in self._source.rows(q.COPYING_SLOTS, subscription):
                self._drop_slot(slot)
        self._drop_slot(self._name)

    def unpublish(self) -> None:
        """Remove the publication: by that, a closed store without one has moved."""
        if self._source.has(q.MOVES_TO, self._name):
            self._source.do("DROP PUBLICATION {name}", name=self._name)

    def _refuse_lost(self) -> None:
        rows = self._source.rows(q.SLOT, self._name)
        if not rows or rows[0][1]:
            raise lost()

    def _drop_slot(self, name: str) -> None:
        """Drop a slot, and wait for the process that still uses it."""
        until = time.monotonic() + self._patience
        while self._source.has(q.SLOT, name):
            try:
                self._source.rows(q.DROP_SLOT, name)
            except (psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject):
                if time.monotonic() > until:
                    raise
                time.sleep(_SLOW)


def lost() -> MoveError:
    """The error of a slot that the source has lost, and with it changes."""
    return MoveError(
        "the slot at the source is gone or invalid, and the target has missed changes",
        hint="abort the move, and begin again",
    )
