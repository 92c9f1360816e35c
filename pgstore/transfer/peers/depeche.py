"""depeche_db (0.8 to 0.13), with its table `depeche_msgs_<store>`."""

from collections.abc import Iterator
from contextlib import contextmanager

from pgstore._core.arguments import count, text_of
from pgstore._core.conninfo import checked
from pgstore._core.files import MAX_BYTES
from pgstore.transfer._batches import ImportBatch
from pgstore.transfer._errors import TransferError
from pgstore.transfer.peers._reading import UNIT, batches, snapshot, table_of

_FLOORS = """
SELECT min(m.global_position), m.stream, min(m.version) - 1
FROM {table} AS m
GROUP BY m.stream
HAVING min(m.version) > 1
ORDER BY 1"""
_MESSAGES = """
SELECT
  m.global_position, m.stream::text, m.version, m.global_position, m.message_id::text,
  (m.added_at AT TIME ZONE {time_zone})::text, coalesce(m.message ->> {type_key}, ''),
  -- What is no object has no type, and is refused for that.
  (CASE jsonb_typeof(m.message) WHEN 'object' THEN m.message - {type_key} ELSE 'null' END)::text,
  '-'
FROM (
  SELECT
    d.global_position, d.stream, d.version, d.message_id, d.added_at, d.message::jsonb AS message
  FROM {table} AS d
) AS m"""


class DepecheSource:
    """The messages of a depeche_db store, in the order of their global positions.

    The type is taken out of the message, from `type_key`, where PydanticMessageSerializer puts it;
    the rest of the message is the payload. Streams, versions, ids and global positions stay. The
    times, which have no time zone, are of `time_zone`: that of the sessions that wrote them. The
    read is one snapshot: stop the writers before the last one. A message of more than
    `max_bytes` is refused.
    """

    unit = UNIT

    def __init__(
        self,
        conninfo: str,
        name: str,
        *,
        schema: str | None = None,
        type_key: str = "__typename__",
        time_zone: str = "UTC",
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.conninfo = checked(conninfo)
        self.name = text_of("name", name)
        self.schema = schema and text_of("schema", schema)
        self.type_key = text_of("type_key", type_key)
        self.time_zone = text_of("time_zone", time_zone)
        self.max_bytes = count("max_bytes", max_bytes, least=1)
        self.total: int | None = None

    @contextmanager
    def read(self, count: int) -> Iterator[Iterator[ImportBatch]]:
        """The messages. Raises TransferError if there is no such store."""
        table_name = f"depeche_msgs_{self.name}"
        with snapshot(self.conninfo) as conn:
            what = f"depeche_db store {self.name!r}"
            table, self.total = table_of(conn, self.schema, table_name, what)
            known = conn.execute(
                "SELECT FROM pg_timezone_names AS z WHERE z.name = %s", [self.time_zone]
            )
            if not known.rowcount:
                raise TransferError(f"the server knows no time zone {self.time_zone!r}")
            values = {"table": table, "type_key": self.type_key, "time_zone": self.time_zone}
            with batches(conn, _FLOORS, _MESSAGES, count, self.max_bytes, **values) as found:
                yield found
