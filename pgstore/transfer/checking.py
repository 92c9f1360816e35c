"""A dry run: everything of an import that can be checked without doing it."""

import msgspec
from psycopg import Connection

from pgstore._core import statements as s
from pgstore.transfer._batches import MESSAGES, Floors, numbers, parameters_of
from pgstore.transfer._store import statements_of
from pgstore.transfer.importing import Batches, Source, refuse_source


class Checked(msgspec.Struct, frozen=True):
    """The counts of an import that was only tried."""

    messages: int
    stored: int
    floors: int
    streams: int


def check(conn: Connection[object], source: Source, *, store: str = "pgstore") -> Checked:
    """Check a source against itself and against the store, and write nothing.

    It reads every message, keeps the version of each stream in memory, and raises what an import
    with new positions would raise for the first message that is refused. An id that is used twice,
    in different batches, is not found.
    """
    refuse_source(source)
    batches = Batches(conn, statements_of(conn, store), source.unit)
    reached: dict[str, int] = {}
    messages = stored = floors = 0
    with source.read(MESSAGES) as found:
        for batch in found:
            known = [reached.get(stream, 0) for stream in batch.streams]
            versions = numbers("version", known, batch.places, source.unit)
            parameters = parameters_of(batch, source.unit)
            if isinstance(batch, Floors):
                batches.call(s.CHECK_FLOORS, [*parameters, versions], batch)
                floors += len(batch.places)
                brought = batch.floors
            else:
                # Without their positions, as an import with new ones.
                ((count,),) = batches.call(s.CHECK_MESSAGES, [*parameters[:-1], versions], batch)
                stored += count
                messages += len(batch.places)
                brought = batch.versions
            for stream, version in zip(batch.streams, brought, strict=True):
                reached[stream] = max(version, reached.get(stream, 0))
    return Checked(messages, stored, floors, len(reached))
