"""The store behind the pages: its statements, the rights of its role, tasks in the background."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from psycopg.rows import TupleRow

from pgstore._async.database import AsyncDatabase
from pgstore._async.store import AsyncMessageStore
from pgstore._core.log import log
from pgstore._core.messages import RawMessage
from pgstore.ui import queries
from pgstore.ui.feeds import Feed
from pgstore.ui.samples import Samples
from pgstore.ui.states import States
from pgstore.ui.verifying import Verification

T = TypeVar("T")

# Rights can be granted and revoked while the console runs.
_SECONDS_OF_RIGHTS = 5.0

# Forms that were sent are known so long; a second click comes at once.
_FORMS = 1000


class Section(msgspec.Struct, frozen=True):
    """A part of the console in the navigation, for roles that may use all that it needs."""

    title: str
    path: str
    needs: tuple[str, ...]


class Rights(msgspec.Struct, frozen=True):
    """The role that the console connects as, and the functions and views that it may use."""

    role: str = ""
    names: frozenset[str] = frozenset()

    def may(self, *names: str) -> bool:
        """Whether the role may use all of these functions and views of the store."""
        return self.names.issuperset(names)


class Console:
    """The store and the settings that all pages share."""

    def __init__(
        self,
        store: AsyncMessageStore[Any],
        *,
        read_only: bool,
        deciders: Mapping[str | None, States],
        sections: Sequence[Section],
    ) -> None:
        self.store: AsyncMessageStore[RawMessage] = store.raw
        self.name = store.name
        self.read_only = read_only
        self.deciders = deciders
        self.sections = sections
        self.feeds: set[Feed] = set()  # that browsers read at this moment
        self.taken: deque[str] = deque(maxlen=_FORMS)  # the last forms that were sent
        self.samples = Samples()
        self.verification = Verification()
        self._database: AsyncDatabase = store._database
        self._rights: tuple[float, Rights] | None = None
        # Of pages that make connections of their own: many at once could use up the server's.
        self.connecting = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def read(
        self, kind: Callable[..., T], statement: str, *parameters: str | int | None
    ) -> list[T]:
        """Run a statement of `queries`, and make a `kind` of the columns of each row.

        An array is a text that `pgstore._core.parameters.array` makes.
        """
        return [kind(*row) for row in await self.rows(statement, *parameters)]

    async def rows(self, statement: str, *parameters: str | int | None) -> list[TupleRow]:
        """The rows of a statement as they are."""
        return await self._database.rows(statement, _texts(parameters))

    async def value(self, statement: str, *parameters: str | int | None) -> Any:
        """The first column of the only row of a statement."""
        (row,) = await self.rows(statement, *parameters)
        return row[0]

    async def act(self, statement: str, *parameters: str | int | None) -> Any:
        """Run a statement that changes something, once: not again after a lost connection."""
        rows = await self._database.rows(statement, _texts(parameters), repeatable=False)
        return rows[0][0] if rows else None

    async def like_connections(self) -> dict[str, Any]:
        """The parameters of a connection of its own, as those of the pool are connected."""
        pool = await self._database.ready()
        async with self._database.taken(pool) as conn:
            return {**conn.info.get_parameters(), "password": conn.info.password}

    async def rights(self) -> Rights:
        """The rights of the role, a few seconds old at most."""
        now = time.monotonic()
        if self._rights is None or now - self._rights[0] > _SECONDS_OF_RIGHTS:
            rows = await self.rows(queries.RIGHTS, self.name, self.name)
            role = rows[0][0]
            self._rights = now, Rights(role, frozenset(name for _, name in rows if name))
        return self._rights[1]

    def keep_running(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a task in the background; begin it if it does not run.

        A mounted application's start is not the console's: a page that needs the task begins it.
        """
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.create_task(
                _logged(name, work()), name=f"pgstore ui {name}"
            )

    def end_feeds(self) -> None:
        """End the feeds of all browsers, which end with nothing else: the server is to stop."""
        for feed in self.feeds:
            feed.end()

    async def aclose(self) -> None:
        """End the tasks in the background."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _logged(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:
        log.warning("the console's task %s has ended: %s", name, error)


def _texts(parameters: Sequence[str | int | None]) -> list[str | None]:
    return [each if each is None else str(each) for each in parameters]
