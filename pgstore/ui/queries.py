"""The console's own statements, beside those of `pgstore._core.statements`.

STORE stands for the schema. Parameters are texts that the statement casts. None reads more than a
bounded number of rows: pages have to come in a tenth of a second, however large the store is.
"""

# A list needs the beginning of a payload, which can have megabytes.
_BRIEF = "message_id, stream, version, global_position, type, left(data::text, 200), added_at"

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
# Streams by name: from a name on, which does not count if it is the second parameter, with a
# prefix. Without the upper bound the server would look at every later name.
STREAMS = f"""
SELECT {_STREAM}
FROM STORE.stream_statistics AS t
WHERE t.stream >= %s::text AND t.stream <> %s::text
  AND starts_with(t.stream, %s::text) AND t.stream <= %s::text || chr(1114111)
ORDER BY t.stream
LIMIT %s::bigint
"""
STREAM = f"SELECT {_STREAM} FROM STORE.stream_statistics AS t WHERE t.stream = %s::text"
# The streams of the last messages, the one that was written to last first.
RECENT_STREAMS = f"""
SELECT {_STREAM}
FROM (
  SELECT m.stream, max(m.global_position) AS last_position
  FROM (
    SELECT a.stream, a.global_position
    FROM STORE.all_messages AS a
    ORDER BY a.global_position DESC
    LIMIT %s::bigint
  ) AS m
  GROUP BY m.stream
  ORDER BY max(m.global_position) DESC
  LIMIT %s::bigint
) AS r
JOIN STORE.stream_statistics AS t USING (stream)
ORDER BY r.last_position DESC
"""
# A page of a stream: in the order of versions, or backward.
STREAM_PAGE = (
    f"SELECT {_BRIEF} FROM STORE.read_stream(%s::text, %s::bigint, %s::bigint, %s::boolean)"
)
