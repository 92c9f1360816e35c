"""The messages of the stress tests, and the comparison of what was seen with what is stored."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import psycopg
from psycopg.rows import TupleRow

from pgstore import StoredMessage


class Noted(msgspec.Struct):
    """The number of a message among those of its writer."""

    writer: int
    number: int


# Global position, stream, version, message id, writer and number: all that a message is.
Seen = tuple[int, str, int, str, int, int]

_STORED = """
SELECT a.global_position, a.stream, a.version, a.message_id::text,
  (a.data ->> 'writer')::integer, (a.data ->> 'number')::integer
FROM {name}.all_messages AS a
ORDER BY a.global_position
"""

# In the order in which they were inserted. Nothing here refuses a second effect of a message.
_EFFECTS = """
CREATE TABLE {name}.effects (
  effect bigint GENERATED ALWAYS AS IDENTITY,
  subscription text, global_position bigint, stream text, version bigint, message_id text,
  writer integer, number integer
)
"""
INSERT_EFFECT = """
INSERT INTO {name}.effects
  (subscription, global_position, stream, version, message_id, writer, number)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_READ_EFFECTS = """
SELECT e.global_position, e.stream, e.version, e.message_id, e.writer, e.number
FROM {name}.effects AS e WHERE e.subscription = %s ORDER BY e.effect
"""


class Verdict(msgspec.Struct, frozen=True):
    """How what was seen differs from what is stored; `disordered` counts within streams."""

    seen: int
    missed: int
    repeated: int
    foreign: int
    disordered: int

    @property
    def faultless(self) -> bool:
        return self.missed == self.repeated == self.foreign == self.disordered == 0


def compare(seen: Sequence[Seen], stored: Iterable[Seen]) -> Verdict:
    """Compare by content."""
    there, found = set(stored), Counter(seen)
    versions: dict[str, int] = {}
    disordered = 0
    for _, stream, version, *_ in seen:
        disordered += version <= versions.get(stream, 0)
        versions[stream] = version
    return Verdict(
        seen=len(seen),
        missed=len(there - found.keys()),
        repeated=sum(count - 1 for count in found.values()),
        foreign=len(found.keys() - there),
        disordered=disordered,
    )


def seen(each: StoredMessage[Noted]) -> Seen:
    return (
        each.global_position,
        each.stream,
        each.version,
        str(each.message_id),
        each.message.writer,
        each.message.number,
    )


def stored(conn: psycopg.Connection[TupleRow], name: str) -> list[Seen]:
    """Everything in the store, in global order."""
    return _rows(conn, _STORED.replace("{name}", name))


def create_effects(conn: psycopg.Connection[TupleRow], name: str) -> None:
    conn.execute(_EFFECTS.replace("{name}", name).encode())


def effects(conn: psycopg.Connection[TupleRow], name: str, subscription: str) -> list[Seen]:
    """What the handlers of a subscription have inserted, in that order."""
    return _rows(conn, _READ_EFFECTS.replace("{name}", name), subscription)


def _rows(conn: psycopg.Connection[TupleRow], statement: str, *parameters: object) -> list[Seen]:
    found: list[Seen] = []
    for position, stream, version, message_id, writer, number in conn.execute(
        statement.encode(), parameters
    ):
        found.append((position, stream, version, message_id, writer, number))
    return found
