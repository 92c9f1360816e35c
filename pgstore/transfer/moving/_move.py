"""A move, step by step. Each step finds out what is done, so a move that was cut off continues."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import sql

from pgstore._core.arguments import describe, refuse_no_function, seconds
from pgstore._core.conninfo import checked
from pgstore._core.places import PUT
from pgstore._sync.installer import install
from pgstore.errors import InvalidArgumentError
from pgstore.transfer._errors import MoveError
from pgstore.transfer.moving import _rights
from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._checks import Finding, has_begun, look, moves_to, owner_of
from pgstore.transfer.moving._comparing import Comparison
from pgstore.transfer.moving._place import End, quoted
from pgstore.transfer.moving._replicating import Replication

if TYPE_CHECKING:
    from pgstore._sync.directory import Directory

STEPS = ("install", "publish", "copy", "compare", "fence", "drain", "open", "switch", "clean")

# Seconds for programs that have gone to the closed copy: it answers with the place of the store.
_LEAVING = 3.0
# Seconds of patience that the fence allows.
_LONGEST = 86_400


class Move:
    """Moves a store from one database to another one while it is used."""

    def __init__(
        self,
        source: str,
        target: str,
        *,
        store: str = "pgstore",
        directory: "Directory | None" = None,
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
                replicate. Without it, as `source`, or as before where a move continues.
            replace_closed: drop the store that is closed at the target since it moved from there.
            patience: seconds to wait for open transactions, and for the last messages to arrive,
                before the store is opened again where it was.
            progress: called with the name of a step when it begins, and with what there is to tell.

        Raises:
            InvalidArgumentError: an argument that cannot be used.
            MoveError: both are the same database, or a pooler leads to one.
        """
        if not 0 < seconds("patience", patience) <= _LONGEST:
            raise InvalidArgumentError(f"patience must be more than 0, a day at most: {patience}")
        refuse_no_function("progress", progress)
        if directory is not None and not callable(getattr(directory, "put", None)):
            raise InvalidArgumentError(
                f"directory must be a pgstore.Directory, not {describe(directory)}"
            )
        # The target's server connects by it: a wrong one would be an error in its log only.
        self._replicate_from = checked(replicate_from or source)
        self._replicates_anew = replicate_from is not None
        self.source = End(source, store)
        try:
            self.target = End(target, store)
        except BaseException:
            self.source.conn.close()
            raise
        if self.source.is_same(self.target):
            self.close()
            raise MoveError("source and target are the same database")
        self.store = store
        self._directory = directory
        self._replaces_closed = replace_closed
        self._patience = patience
        self._step = progress
        self._replication = Replication(self.source, self.target, patience, progress)
        self._comparison: Comparison | None = None

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
        return look(
            self.source,
            self.target,
            self._directory,
            replaces_closed=self._replaces_closed,
            replicate_from=self._replicate_from,
        )

    def run(self) -> None:
        """Move the store, or continue a move that was cut off.

        Raises:
            MoveError: something is in the way. Call it again, or `abort`.
        """
        self._take()
        if not self._is_open_there():
            # Cut off while it was closed: it need not be until the target has everything again.
            if moves_to(self.source) == self.target.place == self.source.fence:
                self.source.value(q.OPEN, f"{self._patience} s")
            wrong = [each for each in self.check() if each.wrong]
            if wrong:
                raise MoveError(f"{wrong[0].check}: {wrong[0].found}", hint=wrong[0].remedy)
            self._install()
            self._publish()
            self._replication.wait_for_copy()
            self._compare()
            self._hand_over()
        self._step("switch", "")
        if self._directory is not None:
            self._directory.put(self.store, self.target.conninfo)
        self._step("clean", "")
        self._replication.end()
        self._replication.unpublish()

    def abort(self) -> None:
        """Take back a move that has not opened the store at the target yet.

        Raises:
            MoveError: it has, or no move to the target has begun.
        """
        self._take()
        if self._is_open_there():
            raise MoveError(
                "the store is open at the target, and has new messages there",
                hint="run the move again to finish it; then move the store back",
            )
        place, copied = moves_to(self.source), self._has_copy()
        if place not in (None, self.target.place):
            raise MoveError(f"the store moves to {place}, not to the target")
        # Closed for a move to another place: that one may be open.
        if not (copied or place) or self.source.fence not in (None, self.target.place):
            raise MoveError("no move of this store to the target has begun")
        # In this order: without its subscription the target is opened by nobody. The source is
        # opened while the target still says where it is. The publication tells that a move is taken
        # back, so an abort that is cut off can be run again.
        self._replication.end()
        was_closed = self.source.value(q.OPEN, f"{self._patience} s")
        if self._directory is not None:
            self._directory.put(self.store, self.source.conninfo)
        if copied and was_closed:
            time.sleep(_LEAVING)
        if copied:
            self.target.do("DROP SCHEMA {store} CASCADE", store=self.store)
        self._replication.unpublish()

    def _take(self) -> None:
        """No other program moves the store meanwhile: it would open what this one has closed."""
        self.source.take(self._patience)
        self.target.take(self._patience)

    def _has_copy(self) -> bool:
        """Whether the target has a copy that a move has made, and nobody else needs."""
        return (
            self.target.has_store
            and self.target.fence == self.source.place
            and (moves_to(self.source) == self.target.place or has_begun(self.source, self.target))
        )

    def _is_open_there(self) -> bool:
        """Whether the store was opened at the target: from then on there is no way back.

        Somebody may have dropped the closed one since: the publication of the move is still there.
        """
        if not self.target.has_store or self.target.fence is not None:
            return False
        if self.source.has_store:
            return self.source.fence == self.target.place
        return moves_to(self.source) == self.target.place

    def _install(self) -> None:
        """Make the store at the target, closed: nobody is to read what is not complete."""
        self._step("install", "")
        has_store = self.target.has_store
        if has_store and has_begun(self.source, self.target):
            return
        with self.target.conn.transaction():
            if has_store and self.target.fence is not None:
                self.target.do("DROP SCHEMA {store} CASCADE", store=self.store)
                has_store = False
            if not has_store:
                # Its functions run as their owner, with its rights.
                self.target.do("SET LOCAL ROLE {owner}", owner=owner_of(self.source))
                install(self.target.conn, self.store)
                self.target.do("RESET ROLE")
            self.target.value(q.CLOSE, self.source.place, f"{self._patience} s")

    def _publish(self) -> None:
        self._step("publish", "")
        if self._directory is not None:
            self._directory._run(PUT, (self.store, self.source.place, "moving"))
        self._replication.begin(self._replicate_from, anew=self._replicates_anew)

    def _compare(self) -> None:
        """Compare what takes long, and give rights, while the store is open."""
        self._step("compare", "")
        self._comparison = Comparison(
            self.source,
            self.target,
            self._replication.follow,
            lambda detail: self._step("compare", detail),
        )
        self._comparison.large()
        _rights.give(self.source, self.target)

    def _hand_over(self) -> None:
        """Close the store at the source, wait for the rest, and open it at the target."""
        self._step("fence", "")
        opens = False
        try:
            with self.target.conn.transaction():
                # Before the source is closed: a vacuum of the copied tables is cancelled meanwhile,
                # not while everybody waits.
                self.target.rows(q.LOCK, f"{self._patience} s")
                self.source.value(q.CLOSE, self.target.place, f"{self._patience} s")
                self._step("drain", "")
                self._replication.drain()
                self._set_sequences()
                self._give_rights()
                self._refuse_differences()
                self._step("open", "")
                opens = True
                self.target.value(q.OPEN, f"{self._patience} s")
        except BaseException as error:
            self._open_again(error, opens)
            raise

    def _open_again(self, error: BaseException, opens: bool) -> None:
        """Open the source, as the target cannot take over; not if that may have been opened."""
        try:
            # The commit may have arrived. A connection that was lost by it raises.
            if opens and self._is_open_there():
                return
            if self.source.conn.closed:
                self.source.conn = self.source.connected()
            self.source.value(q.OPEN, f"{self._patience} s")
        except (psycopg.Error, MoveError) as other:
            raise MoveError(
                f"the store is closed at both places: {other}",
                hint="run the move again, or abort it",
            ) from error

    def _set_sequences(self) -> None:
        for name in self.source.names(q.SEQUENCES):
            sequence = sql.Identifier(self.store, name)
            query = quoted("SELECT last_value, is_called FROM {sequence}", sequence=sequence)
            ((value, called),) = self.source.conn.execute(query).fetchall()
            where = sequence.as_string()
            self.target.rows(q.SET_SEQUENCE, where, str(value), "true" if called else "false")

    def _give_rights(self) -> None:
        """Those that were granted since; and the constant that is made of them."""
        _rights.give(self.source, self.target)
        self.target.rows(q.RESTRICT)

    def _refuse_differences(self) -> None:
        """Compare both, now that nothing changes."""
        wrong = self._comparison.rest() if self._comparison else []
        wrong += _rights.differences(self.source, self.target)
        if self.source.value(q.RESTRICTED) != self.target.value(q.RESTRICTED):
            wrong.append("whether writers are restricted")
        if wrong:
            raise MoveError(
                f"not the same at both places: {wrong[0]}", hint="abort the move, and begin again"
            )
