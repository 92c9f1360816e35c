"""A directory: where stores are that are spread over servers."""

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, overload

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pgstore._async.cursor import Parameters, run
from pgstore._async.entry import AsyncEntry
from pgstore._async.store import AsyncMessageStore
from pgstore._async.waker import WakeUp
from pgstore._core import sql_files
from pgstore._core.arguments import name_of
from pgstore._core.coders import DecodeHook, Hook
from pgstore._core.conninfo import checked, limits
from pgstore._core.messages import E
from pgstore._core.places import (
    INSTALLING,
    PLACES,
    PUT,
    REMOVE,
    Place,
    of_the_directory,
    place_of,
)
from pgstore._core.quoting import Statements
from pgstore._core.upcasters import Upcaster


class AsyncDirectory:
    """Knows where stores are: a table in any database, which `install` makes."""

    def __init__(self, conninfo: str) -> None:
        """Make a directory; each call connects to it.

        `conninfo` is the connection string of its database. Its user, password and all but the
        place are the ones for the stores, too.
        """
        self._conninfo = checked(conninfo)

    async def install(self) -> None:
        """Make the table, if it is not there. Takes the right to create a schema."""
        with of_the_directory():
            async with await self._connect() as conn, conn.transaction():
                await run(conn, INSTALLING, ())  # others may be doing the same
                for statement in sql_files.statements(sql_files.read("directory/install.sql")):
                    await conn.execute(statement.encode())

    async def put(self, store: str, conninfo: str) -> None:
        """Say where a store is: host, port and database, for every program.

        User and password of the connection string are left out.
        """
        name = Statements(name_of("store", store)).store  # refuses what cannot be one
        await self._run(PUT, (name, place_of(conninfo), "open"))

    async def remove(self, store: str) -> bool:
        """Forget a store, which stays where it is; False if the directory does not have it."""
        return bool(await self._run(REMOVE, (name_of("store", store),)))

    async def place(self, store: str) -> Place:
        """Where a store is.

        Raises:
            StoreNotInDirectoryError: the directory does not have it.
        """
        return await AsyncEntry(self._conninfo, name_of("store", store)).place()

    async def places(self) -> list[Place]:
        """Where all stores are, by their names."""
        return [Place(*row) for row in await self._run(PLACES, ())]

    @overload
    def store(
        self,
        store: str,
        *,
        messages: type[E] | Mapping[str, type[E]],
        create: bool = False,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        upcasters: Iterable[Upcaster] = (),
        wakeup: WakeUp = "listen",
        prepare_threshold: int | None = 5,
        group_writes: bool = False,
    ) -> AsyncMessageStore[E]: ...

    @overload
    def store(
        self,
        store: str,
        *,
        messages: UnionType,
        create: bool = False,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        upcasters: Iterable[Upcaster] = (),
        wakeup: WakeUp = "listen",
        prepare_threshold: int | None = 5,
        group_writes: bool = False,
    ) -> AsyncMessageStore[Any]: ...

    def store(
        self,
        store: str,
        *,
        messages: Any,
        create: bool = False,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        upcasters: Iterable[Upcaster] = (),
        wakeup: WakeUp = "listen",
        prepare_threshold: int | None = 5,
        group_writes: bool = False,
    ) -> AsyncMessageStore[Any]:
        """Make a store that finds its place here when it is first used; see `MessageStore`.

        It looks again when the store is closed where it was, and repeats the operation at the
        new place, unless that is part of a transaction: there StoreMovedError is raised, once the
        store is open at the new place, where the next transaction is. `run` and `follow` continue
        there. Reads are at that place too: a standby of a store does not move with it.
        """
        return AsyncMessageStore(
            AsyncEntry(self._conninfo, name_of("store", store)),
            messages=messages,
            store=store,
            create=create,
            enc_hook=enc_hook,
            dec_hook=dec_hook,
            upcasters=upcasters,
            wakeup=wakeup,
            prepare_threshold=prepare_threshold,
            group_writes=group_writes,
        )

    async def _run(self, statement: str, parameters: Parameters) -> list[TupleRow]:
        with of_the_directory():
            async with await self._connect() as conn:
                return await run(conn, statement, parameters)

    async def _connect(self) -> AsyncConnection[TupleRow]:
        return await AsyncConnection.connect(
            self._conninfo, autocommit=True, **limits(self._conninfo)
        )
