"""Every SQL statement of the package that names a store's objects. STORE stands for its schema.

All parameters are cast by the server, so a statement has one set of parameter types and is prepared
once a connection. `pgstore._core.quoting` puts the schema's name into a statement.
"""

_MESSAGE = (
    "message_id, stream, version, global_position, type, data::text AS data,"
    " metadata::text AS metadata, added_at, array_to_json(tags)::text AS tags"
)

# A batch's parameters are arrays that `pgstore._core.arrays` has made.
_BATCH = "%s::text[], %s::jsonb[], %s::jsonb[]"
# A text with a line for each id.
_IDS = "string_to_array(%s::text, E'\\n')::uuid[]"

_FILTER = "%s::text[], %s::text[], %s::text, %s::bigint, %s::bigint, %s::text"
_LEASE = "%s::text, %s::bigint, %s::bigint"
# Send these columns only where they differ: of most messages the checkpoint is their position.
_OF_BATCH = "nullif(checkpoint, global_position), nullif(parked, false)"

# Write.

# Append a message; its place.
WRITE = (
    "SELECT version, global_position FROM STORE.write_message("
    "%s::text, %s::text, %s::jsonb, %s::jsonb, %s::bigint, %s::uuid)"
)
# The same with tags, and on the condition that no message has come that matches a query.
WRITE_TAGGED = WRITE.removesuffix(")") + ", %s::text[], %s::jsonb, %s::text)"
# Append messages; the place of the last.
WRITE_ARRAYS = (
    "SELECT version, global_position FROM STORE.write_arrays("
    f"%s::text, {_BATCH}, %s::bigint, %s::uuid[])"
)
# The same with tags, and on such a condition.
WRITE_ARRAYS_TAGGED = WRITE_ARRAYS.removesuffix(")") + ", %s::jsonb[], %s::jsonb, %s::text)"
# Append messages of several streams; the places of those that were stored. The parameters are texts
# with a line for each message. JSON and ids have no line breaks in them.
WRITE_GROUP = (
    "SELECT encode(uuid_send(message_id), 'hex'), version, global_position FROM STORE.write_group("
    "string_to_array(%s::text, E'\\n'), string_to_array(%s::text, E'\\n'),"
    " string_to_array(%s::text, E'\\n')::jsonb[], string_to_array(%s::text, E'\\n', '')::jsonb[],"
    f" string_to_array(%s::text, E'\\n', '')::bigint[], {_IDS})"
)
# Append what a stream lacks of these messages; the place of the last.
SYNCHRONIZE = (
    "SELECT version, global_position FROM STORE.synchronize_stream("
    f"%s::text, %s::uuid[], {_BATCH}, %s::uuid[], %s::jsonb[])"
)

# Keep a message for later; its id.
SCHEDULE_MESSAGE = (
    "SELECT STORE.schedule_message(%s::text, %s::text, %s::jsonb,"
    " coalesce(%s::timestamptz, clock_timestamp() + %s::interval), %s::jsonb, %s::uuid, %s::text[])"
)
# Forget a message that was kept for later; whether it was there.
CANCEL_MESSAGE = "SELECT STORE.cancel_message(%s::uuid)"
# Write messages that are due; how many, and the seconds until the next one is.
DELIVER_SCHEDULED = (
    "SELECT delivered, extract(epoch FROM next_due)::float8"
    " FROM STORE.deliver_scheduled(%s::bigint,"
    " coalesce(%s::timestamptz, clock_timestamp() + %s::interval))"
)

# Read.

# A page of a stream, in the order of versions or backward.
READ_STREAM = (
    f"SELECT {_MESSAGE} FROM STORE.read_stream(%s::text, %s::bigint, %s::bigint, %s::boolean)"
)
# Where messages of a stream are.
READ_POSITIONS = (
    "SELECT version, global_position FROM STORE.read_stream(%s::text, %s::bigint, %s::bigint)"
)
# The last message of a stream, or the last one of a type.
LAST_MESSAGE = f"SELECT {_MESSAGE} FROM STORE.last_message(%s::text, %s::text)"
# The messages that a stream's state is made of, after a row with the snapshot before them, if any.
LOAD_STREAM = (
    "SELECT message_id, version, type, data::text, changes FROM STORE.load_stream(%s::text,"
    " %s::text, %s::bigint, %s::bigint, %s::timestamptz, %s::bigint, %s::uuid, %s::bigint)"
)
# Save a state; whether it was saved.
SAVE_SNAPSHOT = (
    "SELECT STORE.save_snapshot(%s::text, %s::text, %s::bigint, %s::bigint, %s::jsonb, %s::bigint)"
)
# Messages by their ids.
GET_MESSAGES = f"SELECT {_MESSAGE} FROM STORE.get_messages({_IDS})"
# The version of a stream's last message.
STREAM_VERSION = "SELECT STORE.stream_version(%s::text)"
# A page across streams; its last row may only say how far it has looked.
READ_PAGE = (
    f"SELECT {_MESSAGE}, reached_position, looked_position FROM STORE.read_page("
    f"%s::bigint, %s::bigint, {_FILTER}, %s::bigint)"
)
# A page across streams of messages whose metadata contains something, or that have tags; its last
# row may only say how far it has looked, and whether there is more.
READ_MATCHING = (
    f"SELECT {_MESSAGE}, reached_position, looked_position, more FROM STORE.read_matching("
    f"%s::jsonb, %s::bigint, %s::bigint, {_FILTER}, %s::bigint, tags_filter => %s::text[])"
)
# A page of the messages of a correlation id.
READ_CORRELATED = f"SELECT {_MESSAGE} FROM STORE.read_correlated(%s::text, %s::bigint, %s::bigint)"
# The messages that match a query, and a last row with the token to decide upon.
READ_TAGGED = f"SELECT {_MESSAGE}, decided_upon FROM STORE.read_tagged(%s::jsonb, %s::bigint)"
# The last messages of each type.
LAST_OF_TYPES = """
SELECT m.type, m.data::text, m.stream, m.version, m.global_position
FROM (
  SELECT a.global_position,
    row_number() OVER (PARTITION BY a.type ORDER BY a.global_position DESC) AS number
  FROM STORE.all_messages AS a
) AS l
JOIN STORE.all_messages AS m USING (global_position)
WHERE l.number <= %s::bigint
ORDER BY m.global_position
"""
# The position of the last message with nothing in flight before it.
SAFE_POSITION = "SELECT STORE.safe_position()"

# Wait for messages.

# The safe position, and whether any writer is in flight.
HORIZON = "SELECT safe_position, in_flight FROM STORE.horizon()"
# Have writers notify this session from now on; the horizon.
FALL_ASLEEP = "SELECT safe_position, in_flight FROM STORE.fall_asleep(%s::integer)"
# Have them notify it no longer; the horizon.
WAKE_UP = "SELECT safe_position, in_flight FROM STORE.wake_up(%s::integer)"
# Publish the horizon under a name; the published position, whether it has moved, whether another
# program does that. It need not wait for a synchronous standby, as a writer does.
PUBLISH_HORIZON = (
    "SELECT p.safe_position, p.moved, p.taken FROM set_config('synchronous_commit', 'local', true),"
    " STORE.publish_horizon(%s::text) AS p"
)
# The channel that writers notify, and the session's process.
WAKE_CHANNEL = "SELECT STORE.wake_channel(), pg_backend_pid()"
# Notify a channel; the session's process.
NOTIFY = "SELECT pg_backend_pid() FROM pg_notify(%s::text, '')"

# Subscribe.

# Create a subscription if there is none of this name; whether it is new.
CREATE_SUBSCRIPTION = (
    "SELECT STORE.create_subscription(%s::text, %s::text[], %s::text[], %s::text, %s::bigint,"
    " %s::text, %s::bigint, %s::timestamptz, %s::text, %s::bigint, %s::interval, %s::jsonb,"
    " %s::text[])"
)
# A lease that a crash of the server takes back has done no harm: do not wait for the disk.
_CLAIMED = f"SELECT {_MESSAGE}, {_OF_BATCH}, subscription, partition, token"
_CLAIM = (
    " FROM set_config('synchronous_commit', 'off', true), STORE.claim_batch("
    "%s::text[], %s::text, %s::interval, %s::bigint)"
)
# Lease a partition that has messages, and fetch its first batch.
CLAIM_BATCH = _CLAIMED + _CLAIM
# The same and, if there is nothing to claim, one row that ends with the seconds until there can be
# something, in one round trip: an idle worker runs no statement more for it.
LOOK = (
    f"WITH claimed AS MATERIALIZED ({_CLAIMED}, NULL::float8{_CLAIM})"
    " SELECT claimed.* FROM claimed"
    f" UNION ALL SELECT {'NULL, ' * 14}"
    "coalesce(extract(epoch FROM STORE.next_claim(%s::text[]))::float8, 'infinity')"
    " WHERE NOT EXISTS (SELECT FROM claimed)"
)
# Fetch the next batch of a leased partition.
FETCH_BATCH = f"SELECT {_MESSAGE}, {_OF_BATCH} FROM STORE.fetch_batch({_LEASE}, %s::bigint)"
# Keep a lease for longer.
EXTEND_LEASE = f"SELECT STORE.extend_lease({_LEASE})"
# Give a lease back.
RELEASE_PARTITION = f"SELECT STORE.release_partition({_LEASE})"
# Give a lease back whose message may have ended the handler's connection.
ABANDON_PARTITION = f"SELECT STORE.abandon_partition({_LEASE}, %s::text)"
# Move a partition's checkpoint; with true give the lease back too.
ACKNOWLEDGE = f"SELECT 1 FROM STORE.acknowledge({_LEASE}, %s::bigint, %s::boolean)"
# Forget a parked message that was handled.
SETTLE_PARKED = f"SELECT 1 FROM STORE.settle_parked({_LEASE}, %s::bigint)"
# Mark the transaction of a handler.
BEGIN_HANDLING = f"SELECT 1 FROM STORE.begin_handling({_LEASE})"
# Raise if the handler has ended that transaction.
CHECK_HANDLING = f"SELECT 1 FROM STORE.check_handling({_LEASE})"
# Check, and acknowledge, in the transaction of a handler: the lease's parameters come twice.
ACKNOWLEDGE_HANDLED = (
    f"SELECT 1 FROM STORE.check_handling({_LEASE}),"
    f" STORE.acknowledge({_LEASE}, %s::bigint, %s::boolean)"
)
# Check, and settle a parked message, in the transaction of a handler.
SETTLE_HANDLED = (
    f"SELECT 1 FROM STORE.check_handling({_LEASE}), STORE.settle_parked({_LEASE}, %s::bigint)"
)
# Record that handling a message failed; the consequence: retry, stop or park.
FAIL_MESSAGE = f"SELECT STORE.fail_message({_LEASE}, %s::bigint, %s::text)"
# How many positions each subscription's last partition is behind.
BEHIND = "SELECT subscription, max(behind) FROM STORE.list_partitions() GROUP BY subscription"

# Steer subscriptions.

# The names of all.
SUBSCRIPTION_NAMES = "SELECT subscription FROM STORE.list_subscriptions() ORDER BY subscription"
# All, each with its partitions summed up: one statement, so that both are of one moment.
SUBSCRIPTIONS = """
SELECT s.subscription, s.categories, s.types, s.stream_pattern, s.metadata::text AS metadata,
  s.tags, s.partition_by, s.on_failure, s.partitions, s.next_partitions, s.paused, p.state,
  p.position, p.behind, p.workers, p.retry_at, p.error,
  (SELECT count(*) FROM STORE.list_parked(s.subscription)) AS parked
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
# How many partitions one has, or will have.
PARTITIONS_OF = (
    "SELECT coalesce(next_partitions, partitions) FROM STORE.list_subscriptions()"
    " WHERE subscription = %s::text"
)
# The partitions of one.
LIST_PARTITIONS = (
    "SELECT subscription, partition, state, checkpoint, behind, worker, leased_until, retry_at,"
    " attempts, failed_position, error FROM STORE.list_partitions() WHERE subscription = %s::text"
)
# Up to where all partitions of one have handled everything.
SUBSCRIPTION_POSITION = "SELECT STORE.subscription_position(%s::text)"
PAUSE_SUBSCRIPTION = "SELECT 1 FROM STORE.pause_subscription(%s::text)"
# Resume one, or one stopped partition of it.
RESUME_SUBSCRIPTION = "SELECT 1 FROM STORE.resume_subscription(%s::text, %s::bigint)"
# Continue after a position, or with the messages added from a time on; the position.
REWIND_SUBSCRIPTION = "SELECT STORE.rewind_subscription(%s::text, %s::bigint, %s::timestamptz)"
REPARTITION_SUBSCRIPTION = "SELECT 1 FROM STORE.repartition_subscription(%s::text, %s::bigint)"
# Keep the workers of one from acknowledging until the transaction ends; its highest checkpoint.
HOLD_SUBSCRIPTION = "SELECT STORE.hold_subscription(%s::text)"
# Change what one reads; the position after which it gains messages.
REFILTER_SUBSCRIPTION = (
    "SELECT STORE.refilter_subscription("
    "%s::text, %s::text[], %s::text[], %s::text, %s::jsonb,"
    " tags => %s::text[], from_position => %s::bigint)"
)
DROP_SUBSCRIPTION = "SELECT 1 FROM STORE.drop_subscription(%s::text)"
# The parked messages of one.
LIST_PARKED = (
    "SELECT global_position, stream, version, type, message_id, partition, attempts, parked_at,"
    " replay, error FROM STORE.list_parked(%s::text)"
)
# Hand a parked message, or all, out again; how many.
REPLAY_PARKED = "SELECT STORE.replay_parked(%s::text, %s::bigint)"
# Forget a parked message, or all; how many.
DROP_PARKED = "SELECT STORE.drop_parked(%s::text, %s::bigint)"

# Look at a store.

# The streams, of a category or all; a command fills in ORDERING.
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
# Count all messages, for the question before a store is dropped.
COUNT_MESSAGES = "SELECT count(*) FROM STORE.messages"
# The migrations that were applied; nothing of a store that was renamed: its functions look for the
# tables under the old name, and may find another store's.
APPLIED_MIGRATIONS = (
    "SELECT number, checksum FROM STORE.applied_migrations() WHERE NOT EXISTS ("
    "SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
    " CROSS JOIN unnest(p.proconfig) AS s (setting)"
    " WHERE n.nspname = %s::text"
    " AND p.proname = 'applied_migrations' AND starts_with(s.setting, 'search_path=')"
    " AND s.setting <> 'search_path=' || quote_ident(n.nspname) || ', pg_temp')"
)
# The lowest schema version that a package must know to use a store.
NEEDED_VERSION = "SELECT STORE.needed_version()"

# Complete words of the command line.

STREAMS_LIKE = """
SELECT stream FROM STORE.stream_statistics
WHERE stream >= %(prefix)s::text COLLATE "C" AND starts_with(stream, %(prefix)s::text)
ORDER BY stream LIMIT %(most)s::bigint
"""
CATEGORIES_LIKE = """
SELECT DISTINCT category FROM STORE.stream_statistics
WHERE stream >= %(prefix)s::text COLLATE "C" AND starts_with(category, %(prefix)s::text)
ORDER BY category LIMIT %(most)s::bigint
"""
# Of the last messages only: all would take too long.
TYPES_LIKE = """
SELECT DISTINCT type
FROM (SELECT type FROM STORE.all_messages ORDER BY global_position DESC LIMIT 50000) AS m
WHERE starts_with(type, %(prefix)s::text)
ORDER BY type LIMIT %(most)s::bigint
"""
SUBSCRIPTIONS_LIKE = """
SELECT subscription FROM STORE.list_subscriptions()
WHERE starts_with(subscription, %(prefix)s::text)
ORDER BY subscription LIMIT %(most)s::bigint
"""

# Retention, privacy, rights.

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
# Delete a batch of messages that the policies no longer keep; how many, and whether more are left.
APPLY_RETENTION = "SELECT deleted, more FROM STORE.apply_retention(%s::bigint)"
TRUNCATE_STREAM = "SELECT STORE.truncate_stream(%s::text, %s::bigint, %s::text)"
DELETE_STREAM = "SELECT STORE.delete_stream(%s::text, %s::bigint, %s::text)"
EMPTY_STORE = "SELECT STORE.empty_store(%s::text, %s::text)"
REDACT_MESSAGE = "SELECT STORE.redact_message(%s::uuid, %s::jsonb, %s::text, %s::jsonb, %s::text[])"
GRANT_ACCESS = "SELECT STORE.grant_access(%s::text, %s::text, %s::text[])"
REVOKE_ACCESS = "SELECT STORE.revoke_access(%s::text, %s::text)"
LIST_GRANTS = "SELECT role, kind, categories, role_exists FROM STORE.list_grants() ORDER BY 1, 2"
LIST_AUDIT = """
SELECT audit_id, done_at, session_role, acting_role, action, subject, reason, detail::text AS detail
FROM STORE.list_audit(%s::bigint, %s::bigint)
"""

# Export, import, verify.

_DATA = "string_to_array(%s::text, E'\\n')::jsonb[]"
_OR_NONE = "string_to_array(%s::text, E'\\n', '-')::jsonb[]"
_ARRAYS = [
    *("%s::text[]", "%s::bigint[]", "%s::text[]", _DATA, _OR_NONE, "%s::uuid[]"),
    "STORE.import_times(%s::text[])",
]
_IMPORT = f"{', '.join(_ARRAYS)}, tags => {_OR_NONE}"
# Store a batch of messages; how many are new, and how many were there.
IMPORT_MESSAGES = (
    "SELECT imported, skipped"
    f" FROM STORE.import_messages({_IMPORT}, global_positions => %s::bigint[])"
)
# Store where streams begin; how many were changed.
IMPORT_FLOORS = "SELECT f FROM STORE.import_floors(%s::text[], %s::bigint[]) AS f"
# Whether the server can read these values at all.
READABLE = "SELECT " + ", ".join(
    f"cardinality({array})" for array in [*_ARRAYS, _OR_NONE, "%s::bigint[]"]
)
IS_EMPTY = "SELECT STORE.last_position() = 0"
POSITION_OF = "SELECT m.global_position FROM STORE.get_messages(ARRAY[%s::uuid]) AS m"
# Raise what an import of these messages would raise; how many are stored already.
CHECK_MESSAGES = f"SELECT STORE.check_messages({_IMPORT}, reached_versions => %s::bigint[])"
# Raise what an import of where streams begin would raise.
CHECK_FLOORS = "SELECT STORE.check_floors(%s::text[], %s::bigint[], %s::bigint[])"
# The values in the header of an export.
EXPORT_HEADER = "SELECT STORE.safe_position(), STORE.schema_version(), clock_timestamp()"
# COPY takes no parameters: `Statements.copy_out` quotes the values into it.
EXPORT_FLOORS = "COPY (SELECT f.line FROM STORE.export_floors({category}, {stream}) AS f) TO STDOUT"
EXPORT_MESSAGES = (
    "COPY (SELECT e.global_position, e.line FROM STORE.export_messages({after}, {up_to}, {count},"
    " {category}, {stream}) AS e) TO STDOUT"
)
VERIFY_STORE = "SELECT check_name, checked, wrong, example FROM STORE.verify_store()"
