"""Statements of the views Subscriptions and Store; see `queries`.

None counts a table. The functions `list_partitions`, `list_subscriptions`, `count_parked` and
`list_parked` read what their names say, and no messages.
"""

# An idle partition has nothing after its checkpoint: do not look there.
_LATE = """
LEFT JOIN LATERAL (
  SELECT greatest(extract(epoch FROM clock_timestamp() - m.added_at), 0)::float8 AS seconds
  FROM STORE.all_messages AS m
  WHERE m.global_position > p.checkpoint AND p.behind > 0
  ORDER BY m.global_position
  LIMIT 1
) AS l ON true
"""
_NOT_READ = "CROSS JOIN (SELECT NULL::float8 AS seconds) AS l"

_PLACE = "p.subscription, p.partition, p.checkpoint, p.behind, l.seconds"
_PLACES = f"""
SELECT {_PLACE}
FROM STORE.list_partitions() AS p
{{late}}
ORDER BY p.subscription, p.partition
LIMIT %s::bigint
"""
# How far each partition is, and the age of the first message after its checkpoint.
PLACES = _PLACES.format(late=_LATE)
# The same for a role that may not read messages.
PLACES_ALONE = _PLACES.format(late=_NOT_READ)

_PARTITIONS = f"""
SELECT {_PLACE}, p.state, p.worker, p.leased_until, p.retry_at, p.attempts, p.failed_position,
  left(p.error, 2000)
FROM STORE.list_partitions() AS p
{{late}}
WHERE p.subscription = %s::text
ORDER BY p.partition
LIMIT %s::bigint
"""
PARTITIONS = _PARTITIONS.format(late=_LATE)
PARTITIONS_ALONE = _PARTITIONS.format(late=_NOT_READ)

_SUBSCRIPTION = (
    "s.subscription, s.categories, s.types, s.stream_pattern, s.metadata::text, s.tags,"
    " s.partition_by, s.on_failure, s.max_attempts,"
    " extract(epoch FROM s.retry_delay)::float8, s.partitions, s.next_partitions, s.paused,"
    " s.created_at"
)
SUBSCRIPTION = (
    f"SELECT {_SUBSCRIPTION} FROM STORE.list_subscriptions() AS s WHERE s.subscription = %s::text"
)
# Each subscription with its partitions summed up; the state is that which needs attention most.
_OVERVIEW = f"""
SELECT {_SUBSCRIPTION}, p.state, p.position, p.behind, p.seconds, p.states, p.workers, p.error,
  k.parked
FROM STORE.list_subscriptions() AS s
JOIN (
  SELECT p.subscription,
    (array_agg(p.state ORDER BY array_position(
      ARRAY['paused', 'stopped', 'retrying', 'working', 'waiting', 'idle'], p.state)))[1] AS state,
    min(p.checkpoint) AS position,
    max(p.behind) AS behind,
    max(l.seconds) AS seconds,
    array_agg(p.state) AS states,
    array_agg(DISTINCT p.worker) FILTER (WHERE p.state = 'working') AS workers,
    (array_agg(left(p.error, 300) ORDER BY p.state = 'stopped' DESC)
      FILTER (WHERE p.failed_position IS NOT NULL AND p.state <> 'idle'))[1] AS error
  FROM STORE.list_partitions() AS p
  {{late}}
  GROUP BY p.subscription
) AS p USING (subscription)
LEFT JOIN ({{parked}}) AS k USING (subscription)
ORDER BY s.subscription
LIMIT %s::bigint
"""
_PARKED = "SELECT c.subscription, c.parked FROM STORE.count_parked() AS c"
_NOT_COUNTED = "SELECT NULL::text AS subscription, NULL::bigint AS parked"


def overview(*, reads: bool, monitors: bool) -> str:
    """All subscriptions, for a role that may read messages, and that may count parked ones."""
    return _OVERVIEW.format(
        late=_LATE if reads else _NOT_READ, parked=_PARKED if monitors else _NOT_COUNTED
    )


# How many a subscription has parked.
PARKED_COUNT = "SELECT c.parked FROM STORE.count_parked() AS c WHERE c.subscription = %s::text"
# Parked messages after a position, and how many there are in all.
PARKED = """
SELECT k.global_position, k.stream, k.version, k.type, k.message_id, k.partition, k.attempts,
  k.parked_at, k.replay, left(k.error, 2000), count(*) OVER ()
FROM STORE.list_parked(%s::text) AS k
WHERE k.global_position > %s::bigint AND (%s::bigint IS NULL OR k.global_position = %s::bigint)
ORDER BY k.global_position
LIMIT %s::bigint
"""
# Up to when messages were parked that a page has shown.
PARKED_UNTIL = "SELECT count(*), max(k.parked_at) FROM STORE.list_parked(%s::text) AS k"
# Forget those that were parked until then, and none that has come since the question.
DROP_UNTIL = """
SELECT coalesce(sum(d.dropped), 0)::bigint
FROM STORE.list_parked(%s::text) AS k
CROSS JOIN LATERAL STORE.drop_parked(%s::text, k.global_position) AS d (dropped)
WHERE k.parked_at <= %s::timestamptz
"""

# The lowest checkpoint of a subscription, the highest, and how many partitions are worked on.
EXTENT = (
    "SELECT min(p.checkpoint), max(p.checkpoint), count(*) FILTER (WHERE p.state = 'working')"
    " FROM STORE.list_partitions() AS p WHERE p.subscription = %s::text"
)
# The position after which all messages from a time on are.
PLACE_OF_TIME = "SELECT STORE.position_before(%s::timestamptz)"
# How many messages in a window of positions match the filters of a subscription.
MATCHING = """
SELECT count(r.message_id)
FROM STORE.read_matching(
  %s::jsonb, %s::bigint, %s::bigint, %s::text[], %s::text[], %s::text,
  up_to_position => %s::bigint, max_looked => %s::bigint, tags_filter => %s::text[]
) AS r
"""

# The same for each of some partitions, from its checkpoint on: the rows have its number, the count
# and the position up to which it has counted.
TO_COME = """
SELECT q.partition, (
    SELECT count(r.message_id)
    FROM STORE.read_matching(
      %s::jsonb, q.checkpoint, q.window + 1, %s::text[], %s::text[], %s::text,
      CASE WHEN %s::bigint > 1 THEN q.partition END, CASE WHEN %s::bigint > 1 THEN %s::bigint END,
      %s::text, q.checkpoint + q.window, q.window, %s::text[]
    ) AS r
  ), q.checkpoint + q.window
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS q (partition, checkpoint, "window")
"""

# How far the store can be read, and its last position.
HORIZON = "SELECT h.safe_position, h.in_flight, STORE.last_position() FROM STORE.horizon() AS h"
WRITERS = """
SELECT w.pid, w.prepared_transaction, extract(epoch FROM clock_timestamp() - w.since)::float8,
  w.role::text, w.application, w.state, w.after_position, w.positions_waiting, w.may_write
FROM STORE.writers_in_flight AS w
LIMIT %s::bigint
"""

STATISTICS = """
SELECT t.safe_position, t.last_position, t.in_flight, t.streams_estimate, t.messages_estimate,
  t.dead_messages, t.table_bytes, t.index_bytes, t.subscriptions, t.parked_messages,
  t.last_vacuum_at
FROM STORE.store_statistics() AS t
"""
# The sizes of the files, and the rows that the planner expects: nothing is counted.
TABLES = """
SELECT c.relname::text, pg_table_size(c.oid), pg_indexes_size(c.oid),
  CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s::text AND c.relkind = 'r'
ORDER BY 2 DESC, 1
"""
# Messages at places that are evenly apart: a store is not read to learn what it holds. Rows for
# categories and types, and for the streams of which most were found. Without literals the planner
# would expect a tenth of the table at each place.
PLACES_OF_SAMPLE, AT_EACH = 20, 250
SAMPLE = f"""
WITH found AS MATERIALIZED (
  SELECT m.stream, m.type
  FROM (
    SELECT DISTINCT g.place * h.last_position / {PLACES_OF_SAMPLE} AS after_position
    FROM (SELECT STORE.last_position() AS last_position) AS h
    CROSS JOIN generate_series(0, {PLACES_OF_SAMPLE - 1}) AS g (place)
  ) AS w
  CROSS JOIN LATERAL (
    SELECT a.global_position, a.stream, a.type
    FROM STORE.all_messages AS a
    WHERE a.global_position > w.after_position
    ORDER BY a.global_position
    LIMIT {AT_EACH}
  ) AS m
  -- Where a store is small, the places overlap.
  GROUP BY m.global_position, m.stream, m.type
)
SELECT 'category', split_part(f.stream, '-', 1) AS name, count(*) AS found
FROM found AS f GROUP BY 2
UNION ALL
SELECT 'type', f.type, count(*) FROM found AS f GROUP BY f.type
UNION ALL
(
  SELECT 'stream', f.stream, count(*) FROM found AS f
  GROUP BY f.stream ORDER BY count(*) DESC, f.stream LIMIT 25
)
ORDER BY found DESC, name
"""
# The streams of a list, with what each holds.
STREAMS_OF = """
SELECT t.stream, t.messages, t.version, t.last_added_at
FROM unnest(%s::text[]) AS n (stream)
CROSS JOIN LATERAL (
  SELECT s.stream, s.messages, s.version, s.last_added_at
  FROM STORE.stream_statistics AS s
  WHERE s.stream = n.stream COLLATE "C"
  LIMIT 1
) AS t
ORDER BY t.messages DESC, t.stream
"""

RETENTION = """
SELECT r.category, extract(epoch FROM r.max_age)::float8, r.max_age::text, r.max_count,
  r.keep_unhandled, r.reached_position, r.handled_position, r.waits
FROM STORE.list_retention() AS r
"""
AUDIT = """
SELECT a.audit_id, a.done_at, a.session_role, a.acting_role, a.action, a.subject, a.reason,
  left(a.detail::text, 2000)
FROM STORE.list_audit(%s::bigint, %s::bigint) AS a
"""
