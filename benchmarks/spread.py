"""Fill a store with streams whose messages are spread over many positions."""

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.bench import Database
from benchmarks.contenders.pgstore import FILL_END
from benchmarks.payload import SAMPLE, TYPE

IN_STREAM = 10
SPREAD = 100_000
"""Positions over which the messages of a stream are spread."""
RARE = 100
"""One stream in so many is of the category `rare`."""
PART = 1_000_000

STREAMS = """
INSERT INTO pgstore.streams (stream_id, category_key, stream, category)
SELECT n, pgstore._category_key(c.category), c.category || '-filled' || n, c.category
FROM generate_series({first} + 1, {last}) AS n
CROSS JOIN LATERAL (SELECT CASE n % {rare} WHEN 0 THEN 'rare' ELSE 'account' END) AS c (category)
"""
# Of a block of positions each stream gets one in turn, ten times round.
MESSAGES = """
INSERT INTO pgstore.messages
  (global_position, stream_id, version, category_key, added_at, message_id, type, data)
SELECT n + 1, s.stream_id, 1 + n % {block} / {streams},
  pgstore._category_key(CASE s.stream_id % {rare} WHEN 0 THEN 'rare' ELSE 'account' END),
  clock_timestamp(), uuidv7(), '{type}', jsonb_set('{sample}', '{{reference}}', to_jsonb(n::text))
FROM generate_series({first}, {last} - 1) AS n
CROSS JOIN LATERAL (SELECT n / {block} * {streams} + n % {block} % {streams} + 1) AS s (stream_id)
"""


def fill(database: Database, size: int) -> float:
    """Store so many messages as writing them would have, by two sessions; the seconds it took."""
    block = min(SPREAD, size)
    values = {"block": block, "streams": block // IN_STREAM, "rare": RARE}
    start = time.monotonic()
    database.execute(STREAMS.format(first=0, last=size // IN_STREAM, **values))
    parts = [
        MESSAGES.format(
            first=first, last=min(first + PART, size), type=TYPE, sample=SAMPLE, **values
        )
        for first in range(0, size, PART)
    ]

    def store(part: str) -> None:
        database.execute(part)
        database.execute("CHECKPOINT")  # else the write-ahead log becomes as large as the store

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(store, parts))
    end = {"streams": "stream_id_seq", "positions": "global_position_seq"}
    database.execute(FILL_END.format(schema="pgstore", base=0, count=size, **end))
    database.verify(size, [])
    return time.monotonic() - start
