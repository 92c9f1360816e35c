"""The console's own statements, beside those of `pgstore._core.statements`.

STORE stands for the schema. Parameters are texts that the statement casts. None reads more than a
bounded number of rows: pages have to come in a tenth of a second, however large the store is.
"""

# A list needs the beginning of a payload, which can have megabytes.
_BRIEF = "message_id, stream, version, global_position, type, left(data::text, 200), added_at"
_REST = "metadata::text, array_to_json(tags)::text"
_STORED = f"message_id, stream, version, global_position, type, data::text, added_at, {_REST}"

# The role, and a row for each function and view of the store that it may use; one row without.
RIGHTS = """
SELECT current_user::text, u.name
FROM (SELECT) AS one
LEFT JOIN (
  SELECT p.proname::text AS name
  FROM pg_catalog.pg_proc AS p
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
  WHERE n.nspname = %s::text
    AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
  UNION ALL
  SELECT c.relname::text
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = %s::text AND c.relkind = 'v'
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
) AS u ON true
"""

_STREAM = (
    "t.stream, t.category, t.messages, t.first_version, t.version, t.first_position,"
    " t.last_position, t.first_added_at, t.last_added_at"
)
# Streams by name: from a name on, which does not count if it is the second parameter, up to the
# last name with a prefix. Name by name: a plan for all of them at once could sort every stream.
_UP_TO = "t.stream <= %s::text || chr(1114111)"
_COLUMNS = _STREAM.replace("t.", "f.")
STREAMS = f"""
WITH RECURSIVE found AS (
  (
    SELECT 1 AS number, {_STREAM}
    FROM STORE.stream_statistics AS t
    WHERE t.stream >= %s::text AND t.stream <> %s::text AND {_UP_TO}
    ORDER BY t.stream
    LIMIT 1
  )
  UNION ALL
  SELECT f.number + 1, n.*
  FROM found AS f
  CROSS JOIN LATERAL (
    SELECT {_STREAM}
    FROM STORE.stream_statistics AS t
    WHERE t.stream > f.stream AND {_UP_TO}
    ORDER BY t.stream
    LIMIT 1
  ) AS n
  WHERE f.number < %s::bigint
)
SELECT {_COLUMNS} FROM found AS f ORDER BY f.number
"""
STREAM = f"SELECT {_STREAM} FROM STORE.stream_statistics AS t WHERE t.stream = %s::text"
# The streams of the last messages, the one that was written to last first.
RECENT_STREAMS = f"""
SELECT {_COLUMNS}
FROM (
  SELECT m.stream, max(m.global_position) AS last_position
  FROM (
    SELECT a.stream, a.global_position
    FROM STORE.all_messages AS a
    ORDER BY a.global_position DESC
    LIMIT 1000
  ) AS m
  GROUP BY m.stream
  ORDER BY max(m.global_position) DESC
  LIMIT 50
) AS r
-- Each by itself: a join of all could read the whole table of streams.
CROSS JOIN LATERAL (
  SELECT {_STREAM} FROM STORE.stream_statistics AS t WHERE t.stream = r.stream LIMIT 1
) AS f
ORDER BY r.last_position DESC
"""
# A page of a stream: in the order of versions, or backward.
STREAM_PAGE = (
    f"SELECT {_BRIEF} FROM STORE.read_stream(%s::text, %s::bigint, %s::bigint, %s::boolean)"
)

# Search, newest first: the messages of a window of positions that match, the oldest first, and a
# last row without an id if there are fewer than asked for.
WINDOW = f"""
SELECT {_BRIEF}
FROM STORE.read_matching(
  %s::jsonb, %s::bigint, %s::bigint, %s::text[], %s::text[], %s::text,
  up_to_position => %s::bigint, max_looked => %s::bigint, tags_filter => %s::text[]
)
"""
HORIZON = "SELECT safe_position FROM STORE.horizon()"
# The global position of the last message before the first one that was added at a time or later, by
# bisection, as the function position_before does it for other roles.
POSITION_BEFORE = """
WITH RECURSIVE halves (low, high) AS (
  SELECT bigint '0', STORE.last_position()
  UNION ALL
  SELECT
    CASE WHEN p.added_at < %s::timestamptz AND p.global_position <= h.high
      THEN p.global_position ELSE h.low END,
    CASE WHEN p.added_at < %s::timestamptz AND p.global_position <= h.high
      THEN h.high ELSE (h.low + h.high) / 2 END
  FROM halves AS h
  LEFT JOIN LATERAL (
    SELECT a.added_at, a.global_position
    FROM STORE.all_messages AS a
    WHERE a.global_position > (h.low + h.high) / 2
    ORDER BY a.global_position
    LIMIT 1
  ) AS p ON true
  WHERE h.low < h.high
)
SELECT h.low FROM halves AS h WHERE h.low >= h.high LIMIT 1
"""

# A message by its id, its place in a stream, or its position.
BY_ID = f"SELECT {_STORED} FROM STORE.get_message(%s::uuid)"
BY_VERSION = (
    f"SELECT {_STORED} FROM STORE.read_stream(%s::text, %s::bigint, 1) WHERE version = %s::bigint"
)
BY_POSITION = f"SELECT {_STORED} FROM STORE.all_messages WHERE global_position = %s::bigint"
# The last message of the same type before a version of a stream, among so many before it.
PREVIOUS_OF_TYPE = f"""
SELECT {_STORED}
FROM STORE.all_messages AS a
WHERE a.stream = %s::text AND a.type = %s::text
  AND a.version < %s::bigint AND a.version >= %s::bigint
ORDER BY a.version DESC
LIMIT 1
"""
# Many messages, with the beginnings of their payloads. Those of a correlation id, in global order.
_TRACED = f"{_BRIEF}, {_REST}"
CORRELATED = f"SELECT {_TRACED} FROM STORE.read_correlated(%s::text, %s::bigint, %s::bigint)"
# Messages by ids, an array.
BY_IDS = f"SELECT {_TRACED} FROM STORE.get_messages(%s::uuid[])"
