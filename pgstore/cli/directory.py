"""The directory of stores, and how each of its stores is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from pgstore.cli._app import SERVERS, InDirectory, command, option
from pgstore.cli._call import Call
from pgstore.cli._errors import NOT_FOUND, USAGE, CommandError, format_error
from pgstore.cli._layout import Column
from pgstore.cli._values import volume

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from pgstore import Directory, Place

_COLUMNS = (
    Column("store", least=12),
    Column("state"),
    Column("conninfo", title="place", least=24),
    Column("since", rank=3),
    Column("bytes", title="size", right=True, show=volume, rank=1),
    Column("messages_per_second", title="messages/s", right=True, rank=1),
    Column("behind", right=True, rank=2),
    Column("problem", least=16, optional=True),
)

# So many places are asked at once, and each is left alone after so many seconds: one that has
# vanished does not hold up the others.
_AT_ONCE = 20
_PATIENCE = 10.0

# Of the catalog, which any role may read.
_SIZE = """
SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class AS c
WHERE c.relnamespace = quote_ident(%s)::regnamespace AND c.relkind = 'r'
"""
# By the positions that were given in the last minute.
_RATE = """
SELECT round(
  (STORE.last_position() - STORE.position_before(now() - interval '1 minute')) / 60.0, 1
)::float
"""
# Of the subscription that is furthest behind.
_BEHIND = "SELECT max(p.behind) FROM STORE.list_partitions() AS p"


@command("stores", panel=SERVERS)
def stores(
    call: Call,
    directory: InDirectory = None,
    add: Annotated[
        str | None, option("STORE", "Write down where a store is: at --conninfo.")
    ] = None,
    remove: Annotated[
        str | None, option("STORE", "Forget a store, which stays where it is.")
    ] = None,
) -> None:
    """List the stores of a directory: where they are, how large, and how busy.

    The directory is made by the first --add. Messages a second are those of the last minute; behind
    is the subscription that is furthest behind, in positions.

    \b
      pgstore stores --directory postgresql://db0/places
      pgstore stores --add bank --conninfo postgresql://db1/shop
    """
    from pgstore import Directory

    if directory is None:
        raise CommandError("--directory says which database has the directory", code=USAGE)
    if add is not None and remove is not None:
        raise CommandError("--add and --remove exclude one another", code=USAGE)
    listed = Directory(directory)
    if add is not None:
        _add(call, listed, add)
    elif remove is not None:
        if not listed.remove(remove):
            raise CommandError(f"the directory has no store {remove}", code=NOT_FOUND)
        call.out.done(f"Store {remove} is not in the directory any more.", store=remove)
    else:
        call.out.rows(_rows(directory, listed), _COLUMNS, empty="The directory has no store.")


def _add(call: Call, directory: "Directory", store: str) -> None:
    import psycopg

    conninfo = call.target.conninfo
    try:
        directory.put(store, conninfo)
    except psycopg.errors.UndefinedTable:
        directory.install()
        directory.put(store, conninfo)
    place = directory.place(store)
    call.out.done(f"Store {store} is at {place.conninfo}.", store=store, conninfo=place.conninfo)


def _rows(own: str, directory: "Directory") -> Sequence[dict[str, Any]]:
    import asyncio

    import psycopg

    try:
        places = directory.places()
    except psycopg.errors.UndefinedTable:
        raise CommandError(
            "there is no directory in this database", hint="pgstore stores --add makes it"
        ) from None

    async def all_of_them() -> Sequence[dict[str, Any]]:
        turns = asyncio.Semaphore(_AT_ONCE)
        return await asyncio.gather(*(_row(own, place, turns) for place in places))

    return asyncio.run(all_of_them())


async def _row(own: str, place: "Place", turns: Any) -> dict[str, Any]:
    """A store's place, and the answers of its server, or the problem with one of them."""
    import asyncio

    import psycopg

    from pgstore._core.conninfo import limits
    from pgstore._core.places import connected
    from pgstore.errors import PgstoreError, StoreMovedError

    row: dict[str, Any] = msgspec.structs.asdict(place)
    row |= dict.fromkeys(("bytes", "messages_per_second", "behind", "problem"))
    async with turns:
        try:
            async with asyncio.timeout(_PATIENCE):
                conninfo = connected(place.conninfo, own)
                async with await psycopg.AsyncConnection.connect(
                    conninfo, autocommit=True, **limits(conninfo)
                ) as conn:
                    await _ask(conn, place.store, row)
        except TimeoutError:
            row["problem"] = f"no answer in {_PATIENCE:g} s"
        except StoreMovedError as error:
            row["problem"] = f"closed there, and at another place: {error.conninfo}"
        except (psycopg.Error, PgstoreError, OSError) as error:
            row["problem"] = format_error(error).partition("\n")[0].removeprefix("error: ")
    return row


async def _ask(conn: "AsyncConnection[Any]", store: str, row: dict[str, Any]) -> None:
    """Put the answers into the row: those that the role may have."""
    import psycopg

    from pgstore._core.quoting import Statements

    statements = Statements(store)
    questions = (("bytes", _SIZE), ("messages_per_second", _RATE), ("behind", _BEHIND))
    for key, statement in questions:
        parameters = [store] if statement is _SIZE else []
        try:
            cursor = await conn.execute(statements[statement].encode(), parameters)
            ((row[key],),) = await cursor.fetchall()
        except psycopg.errors.InsufficientPrivilege as error:
            row["problem"] = f"{error.diag.message_primary} for role {conn.info.user}"
