"""A call of a command: its options, its connections, its output."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from pgstore._core.statements import GET_MESSAGES, STREAM_VERSION, SUBSCRIPTION_NAMES
from pgstore.cli._errors import NOT_FOUND, CommandError
from pgstore.cli._output import Output
from pgstore.cli._target import Target, find_target, store_name

# An error lists at most so many of the existing names.
_NAMES = 10

if TYPE_CHECKING:
    from uuid import UUID

    from psycopg import Connection
    from psycopg.rows import DictRow

    from pgstore._core.messages import RawMessage
    from pgstore._core.quoting import Statements
    from pgstore._sync.store import MessageStore

Parameters = Sequence[object] | Mapping[str, object]


class Settings(msgspec.Struct, frozen=True):
    """The options that every command takes, before or after its name."""

    conninfo: str | None = None
    store: str | None = None
    json: bool = False
    debug: bool = False

    def __repr__(self) -> str:
        return f"Settings(store={self.store!r})"  # without the password

    def changed(self, **given: Any) -> "Settings":
        """The same with the options that were given after the command."""
        later = {name: value for name, value in given.items() if value not in (None, False)}
        return msgspec.structs.replace(self, **later)


class Call:
    """The connection, the output and the settings of a command."""

    def __init__(self, settings: Settings) -> None:
        from pgstore._core import driver as driver  # first: it says what is missing
        from pgstore._core.quoting import Statements

        self.out = Output(json=settings.json)
        self.store = store_name(settings.store)
        self.statements = Statements(self.store)  # refuses what cannot be a name
        self._conninfo = settings.conninfo

    @cached_property
    def target(self) -> Target:
        """The server; the embedded one is started by the first use."""
        return find_target(self._conninfo, self.out)

    @contextmanager
    def connect(self, *, check: bool = True, create: bool = False) -> Iterator["Session"]:
        """Open one connection in autocommit mode.

        With `check` the store must be there and of this package's version; on the embedded server,
        or with `create`, it is made or upgraded.
        """
        import psycopg

        from pgstore._sync.installer import ensure

        with psycopg.connect(
            self.target.conninfo,
            autocommit=True,
            client_encoding="utf8",
            application_name="pgstore",
            prepare_threshold=None,  # a pooler may give each transaction another session
        ) as conn:
            if check:
                ensure(conn, self.statements, create=create or self.target.embedded)
            try:
                yield Session(conn, self.statements)
            except KeyboardInterrupt:
                conn.close()  # which may be in the middle of a statement
                raise

    @contextmanager
    def messages(
        self, *, poll: bool = False, prepare_threshold: int | None = 5
    ) -> "Iterator[MessageStore[RawMessage]]":
        """Open the store as the library does: with a pool, and waiting for new messages."""
        from pgstore._core.messages import RawMessage
        from pgstore._sync.store import MessageStore

        with MessageStore[RawMessage](
            self.target.conninfo,
            messages=RawMessage,
            store=self.store,
            create=self.target.embedded,
            wakeup="poll" if poll else "listen",
            prepare_threshold=prepare_threshold,
        ) as store:
            yield store.raw


class Session:
    """One connection to a store, and its statements."""

    def __init__(self, conn: "Connection[Any]", statements: "Statements") -> None:
        self.conn = conn
        self._statements = statements

    def rows(self, statement: str, parameters: Parameters = ()) -> "list[DictRow]":
        """Run a statement; its rows by the names of their columns."""
        from psycopg.rows import dict_row

        from pgstore._core.translation import translated
        from pgstore.errors import SubscriptionNotFoundError

        text = self._statements[statement]
        try:
            with translated(self.conn), self.conn.cursor(row_factory=dict_row) as cursor:
                cursor.execute(text.encode(), parameters)
                return cursor.fetchall() if cursor.description else []
        except SubscriptionNotFoundError as error:
            raise CommandError(
                f"there is no subscription {error.subscription}",
                code=NOT_FOUND,
                hint=self._subscriptions(error.subscription),
            ) from None

    def _subscriptions(self, name: str) -> str | None:
        """The names there are, the closest to this one first."""
        import psycopg

        try:
            names = [row["subscription"] for row in self.rows(SUBSCRIPTION_NAMES)]
        except psycopg.Error:
            return None  # a role that may not see them
        if not names:
            return "the store has no subscription: a program makes it when it is first run"
        closest = difflib.get_close_matches(name, names, n=_NAMES, cutoff=0)
        more = len(names) - len(closest)
        return f"there are: {', '.join(closest)}" + (f", and {more} more" if more else "")

    def row(self, statement: str, parameters: Parameters = ()) -> "DictRow":
        """Run a statement that answers with one row."""
        (row,) = self.rows(statement, parameters)
        return row

    def value(self, statement: str, parameters: Parameters = ()) -> Any:
        """Run a statement that answers with one value."""
        (value,) = self.row(statement, parameters).values()
        return value

    def version(self, stream: str) -> int:
        """A stream's version; an error if there is no such stream."""
        version: int = self.value(STREAM_VERSION, [stream])
        if not version:
            raise CommandError(f"there is no stream {stream}", code=NOT_FOUND)
        return version

    def message(self, message_id: "UUID") -> "DictRow":
        """A message by its id; an error if there is none."""
        from pgstore.errors import MessageNotFoundError

        found = self.rows(GET_MESSAGES, [message_id])
        if not found:
            raise MessageNotFoundError(message_id)
        return found[0]
