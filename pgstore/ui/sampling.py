"""The task that samples the store while the page's server runs."""

import asyncio

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from pgstore._core.log import log
from pgstore._core.text import one_line
from pgstore.errors import PgstoreError, StandbyError
from pgstore.ui import operations, samples
from pgstore.ui.console import Console
from pgstore.ui.samples import Figures, Place
from pgstore.ui.storing import Statistics

_PASSES = (psycopg.Error, PoolTimeout, PoolClosed, PgstoreError)


def keep_sampling(console: Console) -> None:
    """Have the samples taken from now on, if they are not."""
    console.keep_running("samples", lambda: _sample(console))


async def _sample(console: Console) -> None:
    failing = False
    while True:
        try:
            await take_sample(console)
            failing = False
        except _PASSES as error:  # the server may come back, and the role may get its rights
            if not failing:
                log.warning("the console cannot take samples now: %s", one_line(str(error)))
            failing = True
        await asyncio.sleep(samples.INTERVAL)


async def take_sample(console: Console) -> None:
    """Take a sample of all that the role may see."""
    rights, kept = await console.rights(), console.samples
    if rights.may("store_statistics"):
        (row,) = await console.read(Statistics, operations.STATISTICS)
        sizes = (row.table_bytes, row.index_bytes)
        kept.add_store(kept.now(), Figures(row.last_position, row.safe_position, *sizes))
    elif rights.may("horizon", "last_position"):
        try:
            rows = await console.rows(operations.HORIZON)
        except StandbyError:
            rows = []
        for safe, _, last in rows:
            kept.add_store(kept.now(), Figures(last, safe))
    if rights.may("list_partitions"):
        statement = operations.PLACES if rights.may("all_messages") else operations.PLACES_ALONE
        places = await console.read(Place, statement, samples.PARTITIONS)
        kept.add_places(kept.now(), places)
