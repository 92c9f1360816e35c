"""The statements of the commands; STORE stands for the store's schema."""

_MESSAGE = (
    "message_id, stream, version, global_position, type, data::text AS data,"
    " metadata::text AS metadata, added_at"
)

WRITE = (
    "SELECT version, global_position FROM STORE.write_message("
    "%s::text, %s::text, %s::jsonb, %s::jsonb, %s::bigint, %s::uuid)"
)
WRITE_BATCH = (
    "SELECT version, global_position FROM STORE.write_arrays("
    "%s::text, %s::text[], %s::text[]::jsonb[], %s::text[]::jsonb[], %s::bigint, %s::uuid[])"
)
READ_STREAM = (
    f"SELECT {_MESSAGE} FROM STORE.read_stream(%s::text, %s::bigint, %s::bigint, %s::boolean)"
)
READ_PAGE = (
    f"SELECT {_MESSAGE}, reached_position FROM STORE.read_page("
    "%s::bigint, %s::bigint, %s::text[], %s::text[], up_to_position => %s::bigint)"
)
MESSAGES_BY_ID = f"SELECT {_MESSAGE} FROM STORE.get_messages(ARRAY[%s::uuid])"
SAFE_POSITION = "SELECT STORE.safe_position()"

STREAMS = """
SELECT stream, category, messages, first_version, version, first_position, last_position,
  first_added_at, last_added_at
FROM STORE.stream_statistics
WHERE %(category)s::text IS NULL OR category = %(category)s COLLATE "C"
ORDER BY ORDERING
LIMIT %(max_count)s::bigint
"""
CATEGORIES = """
SELECT category, streams, messages, first_position, last_position, first_added_at, last_added_at
FROM STORE.category_statistics
ORDER BY category
"""
TYPES = """
SELECT type, messages, first_position, last_position, last_added_at
FROM STORE.type_statistics
ORDER BY type
"""
STORE_STATISTICS = """
SELECT safe_position, last_position, in_flight, streams_estimate, messages_estimate, table_bytes,
  index_bytes, dead_messages, oldest_writer_started_at, oldest_writer_pid
FROM STORE.store_statistics()
"""
HEALTH = "SELECT name, status, value, remedy FROM STORE.health()"

# One statement, so that a subscription and its partitions are of one moment.
SUBSCRIPTIONS = """
SELECT s.subscription, s.categories, s.types, s.stream_pattern, s.partition_by, s.on_failure,
  s.partitions, s.next_partitions, s.paused, p.state, p.position, p.behind, p.workers, p.retry_at,
  p.error, (SELECT count(*) FROM STORE.list_parked(s.subscription)) AS parked
FROM STORE.list_subscriptions() AS s
JOIN (
  SELECT q.subscription,
    (array_agg(q.state ORDER BY array_position(
      ARRAY['paused', 'stopped', 'retrying', 'working', 'waiting', 'idle'], q.state)))[1] AS state,
    min(q.checkpoint) AS position,
    max(q.behind) AS behind,
    array_agg(DISTINCT q.worker) FILTER (WHERE q.state = 'working') AS workers,
    min(q.retry_at) FILTER (WHERE q.state = 'retrying') AS retry_at,
    (array_agg(q.error ORDER BY q.state = 'stopped' DESC)
      FILTER (WHERE q.state IN ('stopped', 'retrying')))[1] AS error
  FROM STORE.list_partitions() AS q
  GROUP BY q.subscription
) AS p USING (subscription)
ORDER BY s.subscription
"""
PARTITIONS = """
SELECT subscription, partition, state, checkpoint, behind, worker, leased_until, retry_at, attempts,
  failed_position, error
FROM STORE.list_partitions()
WHERE subscription = %s::text
"""
SUBSCRIPTION_NAMES = "SELECT subscription FROM STORE.list_subscriptions() ORDER BY subscription"
POSITION = "SELECT STORE.subscription_position(%s::text)"
PAUSE = "SELECT STORE.pause_subscription(%s::text)"
RESUME = "SELECT STORE.resume_subscription(%s::text, %s::bigint)"
REWIND = "SELECT STORE.rewind_subscription(%s::text, %s::bigint, %s::timestamptz)"
REPARTITION = "SELECT STORE.repartition_subscription(%s::text, %s::bigint)"
DROP_SUBSCRIPTION = "SELECT STORE.drop_subscription(%s::text)"
REPLAY_PARKED = "SELECT STORE.replay_parked(%s::text, %s::bigint)"
DROP_PARKED = "SELECT STORE.drop_parked(%s::text, %s::bigint)"
PARKED = """
SELECT global_position, stream, version, type, message_id, partition, attempts, parked_at, replay,
  error
FROM STORE.list_parked(%s::text)
"""

LIST_RETENTION = """
SELECT category, max_age::text AS max_age, max_count, keep_unhandled, reached_position,
  handled_position
FROM STORE.list_retention()
ORDER BY category
"""
SET_RETENTION = (
    "SELECT STORE.set_retention(%s::text, %s::interval, %s::bigint, %s::boolean, %s::text)"
)
DROP_RETENTION = "SELECT STORE.drop_retention(%s::text, %s::text)"
APPLY_RETENTION = "SELECT deleted, more FROM STORE.apply_retention(%s::bigint)"
TRUNCATE_STREAM = "SELECT STORE.truncate_stream(%s::text, %s::bigint, %s::text)"
DELETE_STREAM = "SELECT STORE.delete_stream(%s::text, %s::bigint, %s::text)"
EMPTY_STORE = "SELECT STORE.empty_store(%s::text, %s::text)"
STREAM_VERSION = "SELECT STORE.stream_version(%s::text)"
REDACT_MESSAGE = "SELECT STORE.redact_message(%s::uuid, %s::jsonb, %s::text, %s::jsonb)"
GRANT_ACCESS = "SELECT STORE.grant_access(%s::text, %s::text, %s::text[])"
REVOKE_ACCESS = "SELECT STORE.revoke_access(%s::text, %s::text)"
LIST_GRANTS = """
SELECT role, kind, categories, role_exists FROM STORE.list_grants() ORDER BY role, kind
"""
LIST_AUDIT = """
SELECT audit_id, done_at, session_role, acting_role, action, subject, reason, detail::text AS detail
FROM STORE.list_audit(%s::bigint, %s::bigint)
"""
