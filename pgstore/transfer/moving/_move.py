"""A move, step by step. Each step finds out what is done, so a move that was cut off continues."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from pgstore._core.places import PUT
from pgstore._sync.cursor import run
from pgstore._sync.directory import Directory
from pgstore._sync.installer import install
from pgstore.transfer._errors import MoveError
from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._checks import Finding, has_begun, look, name_of
from pgstore.transfer.moving._comparing import compare
from pgstore.transfer.moving._place import End, Text

STEPS = (
    "install",
    "publish",
    "copy",
    "fence",
    "drain",
    "open",
    "switch",
    "clean",
    "compare",
)

# Seconds between two looks: while tables are copied, and while everybody waits.
_SLOW, _FAST = 0.2, 0.01
# A target that is behind by less than that has caught up: the rest takes some milliseconds.
_CLOSE = 1 << 20
# Seconds without a worker of the subscription after which something is wrong.
_NO_WORKER = 60.0


class Move:
    """Moves a store from one database to another one while it is used."""

    def __init__(
        self,
        source: str,
        target: str,
        *,
        store: str = "pgstore",
        directory: Directory | None = None,
        replicate_from: str | None = None,
        replace_closed: bool = False,
        patience: float = 10.0,
        progress: Callable[[str, str], None] = lambda step, detail: None,
    ) -> None:
        """Connect to both; nothing is done yet.

        Args:
            source, target: connection strings of the databases, for the store's owner.
            directory: where to write down the new place.
            replicate_from: how the target's server connects to the source's: with the right to
                replicate. Without it, as `source`.
            replace_closed: drop the store that is closed at the target since it moved from there.
            patience: seconds to wait for open transactions, and for the last messages to arrive,
                before the store is opened again where it was.
            progress: called with the name of a step when it begins, and with what there is to tell.
        """
        self.source, self.target = End(source, store), End(target, store)
        if self.source.place == self.target.place:
            self.close()
            raise MoveError("source and target are the same database")
        self.store = store
        self._directory = directory
        self._replicate_from = replicate_from or source
        self._replaces_closed = replace_closed
        self._patience = patience
        self._progress = progress
        self._name = name_of(store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.source.conn.close()
        self.target.conn.close()

    def check(self) -> list[Finding]:
        """Tell what is in the way of the move, and change nothing."""
        return look(self.source, self.target, self._directory, self._replaces_closed)

    def run(self) -> None:
        """Move the store, or continue a move that was cut off.

        Raises:
            MoveError: something is in the way. Call it again, or `abort`.
        """
        if not self._is_open_there():
            wrong = [each for each in self.check() if each.wrong]
            if wrong:
                raise MoveError(f"{wrong[0].check}: {wrong[0].found}", hint=wrong[0].remedy)
            self._install()
            self._publish()
            self._copy()
            self._hand_over()
        self._step("switch")
        if self._directory is not None:
            self._directory.put(self.store, self.target.conninfo)
        self._step("clean")
        self._end_replication()
        self._unpublish()
        self._step("compare")
        self._compare_all()

    def abort(self) -> None:
        """Take back a move that has not opened the store at the target yet.

        Raises:
            MoveError: it has.
        """
        if self._is_open_there():
            raise MoveError(
                "the store is open at the target, and has new messages there",
                hint="run the move again to finish it; then move the store back",
            )
        published = self.source.has(q.PUBLICATION, self._name)
        if self._has_store(self.target):
            begun = self.target.fence == self.source.place
            begun = begun and (published or has_begun(self.source, self.target))
        else:
            begun = published
        # Closed for a move to another place: that one may be open.
        if not begun or self.source.fence not in (None, self.target.place):
            raise MoveError("no move of this store to the target has begun")
        # In this order: the source is not opened before the target cannot be, and an abort that is
        # cut off can be run again.
        self._end_replication()
        if self._has_store(self.target):
            self.target.do("DROP SCHEMA {store} CASCADE", store=self.store)
        self.source.value(q.OPEN, f"{self._patience} s")
        if self._directory is not None:
            self._directory.put(self.store, self.source.conninfo)
        self._unpublish()

    def _step(self, name: str, detail: str = "") -> None:
        self._progress(name, detail)

    def _has_store(self, end: End) -> bool:
        return end.has(q.IS_THERE, self.store)

    def _is_open_there(self) -> bool:
        """Whether the store was opened at the target: from then on there is no way back."""
        return (
            self._has_store(self.source)
            and self._has_store(self.target)
            and self.source.fence == self.target.place
            and self.target.fence is None
        )

    def _install(self) -> None:
        """Make the store at the target, closed: nobody is to read what is not complete."""
        self._step("install")
        has_store = self._has_store(self.target)
        if has_store and has_begun(self.source, self.target):
            return
        with self.target.conn.transaction():
            if has_store and self.target.fence is not None:
                self.target.do("DROP SCHEMA {store} CASCADE", store=self.store)
            install(self.target.conn, self.store)
            self.target.rows(q.PLAIN)
            self.target.value(q.CLOSE, self.source.place, f"{self._patience} s")

    def _publish(self) -> None:
        self._step("publish")
        if self._directory is not None:
            self._directory._run(PUT, (self.store, self.source.place, "moving"))
        if not self.source.has(q.PUBLICATION, self._name):
            tables = self.source.listed(self.source.names(q.TABLES))
            self.source.conn.execute(
                sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(
                    sql.Identifier(self._name), tables
                )
            )
        if self.target.has(q.SUBSCRIPTION, self._name):
            if not self.source.has(q.SLOT, self._name):
                raise MoveError(
                    "the target has a subscription whose slot is gone, and has missed changes",
                    hint="abort the move, and begin again",
                )
            return
        # A slot that a move has left which was cut off between the two.
        self._drop_slot()
        # Not by CREATE SUBSCRIPTION: between two databases of one server that waits for itself.
        self._make_slot()
        # Where standbys have to confirm a commit, the slot must not advance before they did: a
        # failover of the target would lose what the source sends no more.
        ((standbys, commit),) = self.target.rows(
            "SELECT current_setting('synchronous_standby_names'),"
            " current_setting('synchronous_commit')"
        )
        self.target.do(
            "CREATE SUBSCRIPTION {name} CONNECTION {source} PUBLICATION {name}"
            " WITH (create_slot = false, slot_name = {text}, synchronous_commit = {commit})",
            name=self._name,
            source=Text(self._replicate_from),
            text=Text(self._name),
            commit=Text(commit if standbys else "off"),
        )

    def _make_slot(self) -> None:
        """Make the slot: PostgreSQL waits for all transactions of the server that have written."""
        try:
            with self.source.conn.transaction():
                self.source.rows(q.TIME_LIMIT, f"{self._patience} s")
                self.source.rows(q.MAKE_SLOT, self._name)
        except psycopg.errors.QueryCanceled:
            open_ones = self.source.rows(q.WRITING)
            raise MoveError(
                f"transactions have been open for {self._patience:g} seconds:"
                f" {', '.join(str(name) for (name,) in open_ones)}",
                hint="end them, or move the store with more --patience; nothing was closed",
            ) from None

    def _copy(self) -> None:
        """Wait until the target has what is there, and keeps up."""
        self._step("copy")
        worked = time.monotonic()
        while True:
            ((tables, copied, works),) = self.target.rows(q.COPIED, self._name) or [(1, 0, False)]
            behind = self.source.value(q.BEHIND, self._name)
            self._step("copy", f"{copied} of {tables} tables, {int(behind or 0) >> 10} kB behind")
            if copied == tables and works and (behind or 0) < _CLOSE:
                return
            if works:
                worked = time.monotonic()
            elif time.monotonic() > worked + _NO_WORKER:
                raise MoveError(
                    "the target does not replicate",
                    hint="its server's log says why: often it cannot connect to the source",
                )
            time.sleep(_SLOW)

    def _hand_over(self) -> None:
        """Close the store at the source, wait for the rest, and open it at the target."""
        last = self.source.value(q.LAST)
        self._step("fence")
        # Before the source is closed: a vacuum of the copied tables is cancelled meanwhile, not
        # while everybody waits.
        with self._or_open_again(), self.target.conn.transaction():
            self.target.rows(q.LOCK, f"{self._patience} s")
            self.source.value(q.CLOSE, self.target.place, f"{self._patience} s")
            self._step("drain")
            self._drain()
            self._set_sequences()
            self._give_rights()
            self._compare(last)
            self._step("open")
            self.target.value(q.OPEN, f"{self._patience} s")

    @contextmanager
    def _or_open_again(self) -> Iterator[None]:
        """If the target cannot take over, the source is open again. Not if this program ends."""
        try:
            yield
        except (MoveError, psycopg.Error):
            if not self.target.conn.closed and not self._is_open_there():
                self.source.value(q.OPEN, f"{self._patience} s")
            raise

    def _drain(self) -> None:
        """Wait until the target has confirmed all that was committed before the fence."""
        # The source sends only the part of its log that is flushed. A read of the closed store may
        # write too, when it prunes
        # a page, and no commit follows that would flush it.
        self.source.rows(q.FLUSH)
        end = self.source.value(q.END)
        until = time.monotonic() + self._patience
        with psycopg.connect(self.target.conninfo, autocommit=True) as flusher:
            while not self.source.value(q.HAS_PASSED, end, self._name):
                if time.monotonic() > until:
                    raise MoveError(
                        f"the target has not caught up within {self._patience:g} seconds",
                        hint="move the store at a quieter time, or with more patience",
                    )
                run(flusher, q.FLUSH, ())
                self.source.rows(q.FLUSH)
                time.sleep(_FAST)

    def _set_sequences(self) -> None:
        for name in self.source.names(q.SEQUENCES):
            query = sql.SQL("SELECT last_value, is_called FROM {}").format(
                sql.Identifier(self.store, name)
            )
            ((value, called),) = self.source.conn.execute(query).fetchall()
            where = sql.Identifier(self.store, name).as_string()
            self.target.rows(q.SET_SEQUENCE, where, str(value), "true" if called else "false")

    def _give_rights(self) -> None:
        """Grant the roles what they have at the source: rights are no rows."""
        for role, kind in self.source.rows(q.GRANTS):
            self.target.do("GRANT USAGE ON SCHEMA {store} TO {role}", store=self.store, role=role)
            self.target.rows(q.GRANT, role, kind)
        self.target.rows(q.RESTRICT)

    def _compare(self, after: int) -> None:
        """Compare both: of the messages the newer ones, of which the others were copied before."""
        wrong = compare(self.source, self.target, after)
        if wrong:
            raise MoveError(
                f"{wrong[0]} is not the same at both places", hint="abort the move, and begin again"
            )

    def _compare_all(self) -> None:
        """Compare the messages that the source has, while the target has more."""
        count = "SELECT count(*) FROM STORE.messages AS m WHERE m.global_position <= %s"
        last = self.source.value(q.LAST)
        here, there = (end.value(count, str(last)) for end in (self.source, self.target))
        # Retention may have deleted some since.
        self._step("compare", f"{here} messages at the source, {there} of them at the target")

    def _end_replication(self) -> None:
        """Remove the subscription and its slot."""
        if self.target.has(q.SUBSCRIPTION, self._name):
            self.target.do("ALTER SUBSCRIPTION {name} DISABLE", name=self._name)
            # Otherwise DROP SUBSCRIPTION would drop the slot too, over a connection of its own.
            self.target.do("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)", name=self._name)
            self.target.do("DROP SUBSCRIPTION {name}", name=self._name)
        self._drop_slot()

    def _unpublish(self) -> None:
        """Remove the publication: by that, a closed store without one has moved."""
        if self.source.has(q.PUBLICATION, self._name):
            self.source.do("DROP PUBLICATION {name}", name=self._name)

    def _drop_slot(self) -> None:
        """Drop the slot, and wait for the process that still uses it."""
        until = time.monotonic() + self._patience
        while True:
            rows = self.source.rows(q.SLOT, self._name)
            if not rows:
                return
            try:
                self.source.rows(q.DROP_SLOT, self._name)
                return
            except psycopg.errors.ObjectInUse:
                if time.monotonic() > until:
                    raise
                time.sleep(_SLOW)
