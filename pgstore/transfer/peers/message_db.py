"""Message DB (message-db 1.x), with its table `message_store.messages`."""

from collections.abc import Iterator
from contextlib import contextmanager

from pgstore._core.arguments import count, text_of
from pgstore._core.conninfo import checked
from pgstore._core.files import MAX_BYTES
from pgstore.transfer._batches import ImportBatch
from pgstore.transfer.peers._reading import UNIT, batches, snapshot, table_of

# Positions begin at 0 there, versions at 1 here. A stream whose first messages were deleted begins
# later. A payload of NULL is null here; metadata of null is none.
_FLOORS = """
SELECT min(m.global_position), m.stream_name, min(m.position)
FROM {table} AS m
GROUP BY m.stream_name
HAVING min(m.position) > 0
ORDER BY 1"""
_MESSAGES = """
SELECT
  m.global_position, m.stream_name::text, m.position + 1, m.global_position, m.id::text,
  m.time::text || '+00', m.type::text, coalesce(m.data, 'null')::text,
  coalesce(nullif(m.metadata, 'null')::text, '-')
FROM {table} AS m"""


class MessageDbSource:
    """The messages of a Message DB, in the order of their global positions.

    Its position 0 becomes version 1. Its times, which have no time zone, are UTC. Ids, types,
    payloads, metadata and global positions stay. The read is one snapshot: stop the writers before
    the last one. A message of more than `max_bytes` is refused.
    """

    unit = UNIT

    def __init__(
        self, conninfo: str, *, schema: str = "message_store", max_bytes: int = MAX_BYTES
    ) -> None:
        self.conninfo = checked(conninfo)
        self.schema = text_of("schema", schema)
        self.max_bytes = count("max_bytes", max_bytes, least=1)
        self.total: int | None = None

    @contextmanager
    def read(self, count: int) -> Iterator[Iterator[ImportBatch]]:
        """The messages. Raises TransferError if there is no Message DB."""
        with snapshot(self.conninfo) as conn:
            table, self.total = table_of(conn, self.schema, "messages", "Message DB")
            with batches(conn, _FLOORS, _MESSAGES, count, self.max_bytes, table=table) as found:
                yield found
