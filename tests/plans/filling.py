"""How the stores are filled."""

import psycopg
from psycopg.rows import TupleRow

# Of n messages: the stream big-1 has every tenth, medium-2 every hundredth, and the streams
# small-7, small-8 … have ten each, far from one another. Every thousandth is in the category rare,
# in streams of ten. Message number i has the id md5(i). Every hundredth has a correlation id, which
# nine others share. Every tenth has the tag often, every thousandth the tag rare too.
_FILL = """
INSERT INTO streams (stream_id, category_key, stream, category)
SELECT s.n, _category_key(c.category), c.category || '-' || s.n, c.category
FROM generate_series(1, {total} / 10 + 2) AS s (n)
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN s.n = 1 THEN 'big'
    WHEN s.n = 2 THEN 'medium'
    WHEN (s.n - 2) % 1000 = 3 THEN 'rare'
    ELSE 'small'
  END AS category
) AS c
WHERE s.n <= 2 OR (s.n - 2) % 10 <> 0 AND (s.n - 2) % 100 <> 1;

INSERT INTO messages (
  global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata,
  tags
)
SELECT
  m.n, s.stream_id, s.version, _category_key(s.category), now(), md5(m.n::text)::uuid,
  'T' || m.n % 3, '{{"amount": 10}}',
  CASE WHEN m.n % 100 = 7 THEN jsonb_build_object('correlation_id', 'c' || m.n / 1000) END,
  CASE WHEN m.n % 1000 = 3 THEN '{{often,rare}}' WHEN m.n % 10 = 3 THEN '{{often}}' END::text[]
FROM generate_series(1, {total}) AS m (n)
CROSS JOIN LATERAL (
  SELECT 1 AS stream_id, m.n / 10 AS version, 'big' AS category
  WHERE m.n % 10 = 0
  UNION ALL
  SELECT 2, m.n / 100 + 1, 'medium'
  WHERE m.n % 100 = 1
  UNION ALL
  SELECT
    2 + m.n % ({total} / 10), m.n / ({total} / 10) + 1,
    CASE WHEN m.n % 1000 = 3 THEN 'rare' ELSE 'small' END
  WHERE m.n % 10 <> 0 AND m.n % 100 <> 1
) AS s;

INSERT INTO message_tags (tag_key, global_position)
SELECT _tag_key(u.tag), m.global_position
FROM messages AS m
CROSS JOIN LATERAL unnest(m.tags) AS u (tag);

INSERT INTO scheduled_messages (
  message_id, due_at, scheduled_at, scheduled_position, stream, type, data
)
SELECT
  md5('scheduled ' || d.n)::uuid, now() + d.n * interval '1 hour', now(), d.n,
  'scheduled-' || d.n % 100, 'T1', '{{"amount": 10}}'
FROM generate_series(1, {total} / 10) AS d (n);

SELECT setval('stream_id_seq', {total} / 10 + 2), setval('global_position_seq', {total});
"""

# A few messages, as an early ANALYZE may find them.
_SEED = """
INSERT INTO streams (stream_id, category_key, stream, category)
SELECT -s.n, _category_key('seed'), 'seed-' || s.n, 'seed'
FROM generate_series(1, {count}) AS s (n);

INSERT INTO messages (
  global_position, stream_id, version, category_key, added_at, message_id, type, data
)
SELECT -m.n, -m.n, 1, _category_key('seed'), now(), gen_random_uuid(), 'T1', '{{"amount": 10}}'
FROM generate_series(1, {count}) AS m (n);

ANALYZE streams, messages;
"""


def fill(conn: psycopg.Connection[TupleRow], total: int) -> None:
    """Write messages, without the store's functions and without telling the planner."""
    conn.execute(_FILL.format(total=total).encode())


def seed(conn: psycopg.Connection[TupleRow], count: int) -> None:
    """Write a few messages, and tell the planner that there are only so few."""
    conn.execute(_SEED.format(count=count).encode())
