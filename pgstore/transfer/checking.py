"""A dry run: everything of an import that can be checked without doing it."""

from uuid import UUID

import msgspec
from psycopg import Connection

from pgstore._core import statements as s
from pgstore._core.arguments import describe
from pgstore._core.quoting import Statements
from pgstore._sync.cursor import run
from pgstore.transfer._batches import (
    MESSAGES,
    Floors,
    ImportBatch,
    Messages,
    message_parameters,
    names,
)
from pgstore.transfer._errors import MessageRefusedError
from pgstore.transfer._store import statements_of
from pgstore.transfer.importing import Source, check_values, refuse_source


class Checked(msgspec.Struct, frozen=True):
    """The counts of an import that was only tried."""

    messages: int
    stored: int
    floors: int
    streams: int


def check(conn: Connection[object], source: Source, *, store: str = "pgstore") -> Checked:
    """Check a source against itself and against the store, and write nothing.

    It reads every message, keeps the version of each stream in memory, and raises what an import
    would raise for the first message that is refused.
    """
    refuse_source(source)
    statements = statements_of(conn, store)
    versions: dict[str, int] = {}
    messages = stored = floors = 0
    with source.read(MESSAGES) as found:
        for batch in found:
            work = _Check(conn, statements, source.unit, versions)
            work.look_up(batch)
            if isinstance(batch, Floors):
                work.check_floors(batch)
                floors += len(batch.places)
            else:
                stored += work.check_messages(batch)
                messages += len(batch.places)
    return Checked(messages, stored, floors, len(versions))


class _Check:
    """A check of one batch, knowing the versions that its streams are at."""

    def __init__(
        self, conn: Connection[object], statements: Statements, unit: str, versions: dict[str, int]
    ) -> None:
        self.conn = conn
        self.statements = statements
        self.unit = unit
        self.versions = versions

    def look_up(self, batch: ImportBatch) -> None:
        """Get the versions of streams that were not seen before."""
        places = {
            stream: place
            for place, stream in zip(batch.places, batch.streams, strict=True)
            if stream not in self.versions
        }
        for stream, place in places.items():
            if not 1 <= len(stream.encode()) <= 1000:
                raise self.refused(place, "stream must be a name of 1 to 1000 bytes", stream)
        if places:
            given = names([*places], [*places.values()], self.unit)
            rows = run(self.conn, self.statements[s.VERSIONS], (given,))
            self.versions.update((str(stream), int(version)) for stream, version in rows)

    def check_floors(self, batch: Floors) -> None:
        """Raise for the first that import_floors would refuse."""
        for place, stream, floor in zip(*batch, strict=True):
            version = self.versions[stream]
            if not 1 <= floor <= 2**62:
                raise self.refused(place, f"floor must be 1 or more, and {2**62} at most", floor)
            if 0 < version < floor:
                raise self.refused(
                    place,
                    f"stream {describe(stream)} is at version {version}, what was cut off up to"
                    f" version {floor} is missing in it",
                )
            self.versions[stream] = max(version, floor)

    def check_messages(self, batch: Messages) -> int:
        """Raise for the first that import_messages would refuse; how many are stored already."""
        check_values(self.conn, self.statements, batch, self.unit)
        _, _, types, data, metadata, ids, _, _ = message_parameters(batch, self.unit)
        rows = run(self.conn, self.statements[s.PLACES], (ids, types, data, metadata, ids))
        used = {UUID(row[0]): (row[1], row[2]) for row in rows}
        same = {UUID(row[0]) for row in rows if row[3]}
        stored = 0
        for n, place in enumerate(batch.places):
            stream, version = batch.streams[n], batch.versions[n]
            here = used.get(message_id := UUID(batch.ids[n]))
            if here == (stream, version) and message_id in same:
                stored += 1
                continue
            if here is not None:
                raise self.refused(
                    place,
                    f"message id {message_id} is already used at version {here[1]} of stream"
                    f" {describe(here[0])}",
                )
            if version != self.versions[stream] + 1:
                raise self.refused(
                    place,
                    f"stream {describe(stream)} is at version {self.versions[stream]}, a message of"
                    f" version {version} does not continue it",
                )
            self.versions[stream] = version
            used[message_id] = (stream, version)
        return stored

    def refused(self, place: int, reason: str, *value: object) -> MessageRefusedError:
        reason = ", not ".join([reason, *map(describe, value)])
        return MessageRefusedError(reason, place=place, unit=self.unit)
