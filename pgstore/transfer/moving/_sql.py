"""The statements of a move."""

# Tables of each server alone: its installation, its fence, its published horizon.
_LOCAL = "ARRAY['migrations', 'store_fence', 'store_horizon']"

TABLES = f"""
SELECT c.relname
FROM pg_class AS c
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s)
  AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relname <> ALL ({_LOCAL})
ORDER BY c.relname
"""

IS_THERE = """
SELECT FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = 'migrations'
"""

FENCE = "SELECT new_conninfo FROM STORE.fence_of_store()"
CLOSE = "SELECT STORE.fence_store(%s, %s)"
OPEN = "SELECT STORE.lift_fence(%s)"
# Nothing was ever written to it.
IS_NEW = """
SELECT NOT EXISTS (SELECT FROM STORE.streams) AND NOT EXISTS (SELECT FROM STORE.subscriptions)
  AND NOT EXISTS (SELECT FROM STORE.grants) AND NOT EXISTS (SELECT FROM STORE.audit)
  AND NOT EXISTS (SELECT FROM STORE.scheduled_messages)
"""

# An object in a schema that has no store.
ALIENS = """
SELECT o.name FROM pg_namespace AS n
CROSS JOIN LATERAL (
  SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = n.oid
  UNION ALL
  SELECT p.proname::text FROM pg_proc AS p WHERE p.pronamespace = n.oid
  UNION ALL
  SELECT t.typname::text FROM pg_type AS t WHERE t.typnamespace = n.oid
) AS o (name)
WHERE n.nspname = %s ORDER BY 1 LIMIT 1
"""

# One move of a store at a time, at both ends. A key of 64 bits is none of the store's own.
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
LOCKED_BY = """
SELECT l.pid FROM pg_locks AS l
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(%s, 0)
"""

DATABASE = "SELECT current_database()"
# Its comment says where the store moves to: another move finds that, and leaves it alone.
MOVES_TO = """
SELECT coalesce(obj_description(p.oid, 'pg_publication'), '')
FROM pg_publication AS p WHERE p.pubname = %s
"""
SLOT = """
SELECT s.active, s.wal_status = 'lost' FROM pg_replication_slots AS s WHERE s.slot_name = %s
"""
# A table that is copied has a slot of its own meanwhile, named after the subscription's id.
COPYING_SLOTS = """
SELECT s.slot_name FROM pg_replication_slots AS s
WHERE starts_with(s.slot_name, 'pg_' || %s::text || '_sync_')
"""
MAKE_SLOT = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')"
TIME_LIMIT = "SELECT set_config('statement_timeout', %s, true)"
# Transactions that have an id, of all databases: by their process, or the name of a prepared one.
WRITING = """
SELECT a.pid::text FROM pg_stat_activity AS a
WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
UNION ALL
SELECT p.gid FROM pg_prepared_xacts AS p
"""
DROP_SLOT = "SELECT pg_drop_replication_slot(%s)"
SUBSCRIPTION = """
SELECT s.oid::text
FROM pg_subscription AS s
WHERE s.subname = %s
  AND s.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
"""
# Of a move to here that was not finished: named as one from here, or with tables of the store.
FORMER = """
SELECT FROM pg_subscription AS s
WHERE s.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND starts_with(s.subname, 'pgstore_move_')
  AND (
    s.subname = %s
    OR EXISTS (
      SELECT
      FROM pg_subscription_rel AS r
      JOIN pg_class AS c ON c.oid = r.srrelid
      WHERE r.srsubid = s.oid
        AND c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s)
    )
  )
"""
# How many tables there are, how many are copied, and whether the worker runs.
COPIED = """
SELECT count(*), count(*) FILTER (WHERE r.srsubstate = 'r'),
  (SELECT pid IS NOT NULL FROM pg_stat_subscription WHERE subid = s.oid AND relid IS NULL
   LIMIT 1)
FROM pg_subscription AS s
JOIN pg_subscription_rel AS r ON r.srsubid = s.oid
WHERE s.subname = %s
GROUP BY s.oid
"""
BYTES = """
SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s)
"""
# Errors of the subscription's workers: PostgreSQL 15 and newer count them.
ERRORS = """
SELECT e.apply_error_count + e.sync_error_count
FROM pg_stat_subscription_stats AS e
JOIN pg_subscription AS s ON s.oid = e.subid
WHERE s.subname = %s
  AND s.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
"""
# The statement with the password is nowhere but in a variable: an error would write it to the log.
SUBSCRIBE = """
DO $$
BEGIN
  EXECUTE current_setting('pgstore.subscribe');
EXCEPTION WHEN OTHERS THEN
  RAISE EXCEPTION USING ERRCODE = sqlstate, MESSAGE = sqlerrm;
END
$$
"""
SET_SUBSCRIBE = "SELECT set_config('pgstore.subscribe', %s, true) IS NOT NULL"
# Bytes of the write-ahead log that the target has not confirmed.
BEHIND = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.confirmed_flush_lsn)
FROM pg_replication_slots AS s WHERE s.slot_name = %s
"""
END = "SELECT pg_current_wal_flush_lsn()::text"
END_NOW = "SELECT pg_current_wal_insert_lsn()::text"
HAS_PASSED = """
SELECT s.confirmed_flush_lsn >= %s::text::pg_lsn, s.confirmed_flush_lsn::text
FROM pg_replication_slots AS s WHERE s.slot_name = %s
"""
# A commit that is flushed, and with it all that was written before.
FLUSH = "SELECT pg_logical_emit_message(true, 'pgstore', 'move')"

LOCK = "SELECT STORE._lock_tables('SHARE UPDATE EXCLUSIVE', clock_timestamp() + %s::interval)"
SEQUENCES = """
SELECT c.relname
FROM pg_class AS c
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s)
  AND c.relkind = 'S' AND c.relname <> 'gate_trust_seq'
ORDER BY c.relname
"""
SET_SEQUENCE = "SELECT setval(%s::text::regclass, %s, %s)"

GRANTS = """
SELECT g.role, g.kind FROM STORE.grants AS g
JOIN pg_roles AS r ON r.rolname = g.role
WHERE STORE._holds_kind(r.oid, g.kind) ORDER BY 1, 2
"""
GRANT = "SELECT STORE._alter_rights(%s, STORE._granted_names(%s), true)"
RESTRICT = "SELECT STORE._note_restrictions()"
RESTRICTED = "SELECT STORE._writers_restricted()"
# All rights but the owner's, those that were given by hand too. A role that is gone has none.
RIGHTS = """
SELECT DISTINCT r.kind, r.name,
  CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END,
  a.privilege_type, a.is_grantable
FROM STORE._list_rights() AS r
CROSS JOIN aclexplode(r.rights) AS a
WHERE a.grantee <> r.owner
"""
MISSING_ROLES = """
SELECT g.role FROM unnest(%s::text[]) AS g (role)
WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = g.role)
"""

# Messages up to there are all committed.
SAFE = "SELECT STORE.safe_position()"

# As texts that do not depend on the session or the server's version.
PLAIN = """
SELECT set_config('datestyle', 'ISO, YMD', false), set_config('timezone', 'UTC', false),
  set_config('intervalstyle', 'postgres', false), set_config('extra_float_digits', '1', false),
  set_config('bytea_output', 'hex', false),
  -- A commit of a move is on disk, and on the synchronous standbys, before the next step.
  set_config('synchronous_commit', 'on', false),
  -- The session of a move that was killed ends soon: the next one waits for it.
  set_config('client_connection_check_interval', '1s', false)
"""
# The limits of roles and databases are for programs. Each version has others.
UNLIMITED = """
SELECT set_config(s.name, '0', false) FROM pg_settings AS s
WHERE s.name IN (
  'statement_timeout', 'lock_timeout', 'transaction_timeout',
  'idle_in_transaction_session_timeout', 'idle_session_timeout'
)
"""
# The first column of each table's key, whether that is a number, and the table's bytes.
KEYS = """
SELECT c.relname::text, quote_ident(a.attname), a.atttypid = 'bigint'::regtype,
  pg_relation_size(c.oid)
FROM pg_class AS c
JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s)
  AND c.relname = ANY (%s)
ORDER BY c.relname
"""
BOUNDS = """
SELECT coalesce(min(KEY), 0), coalesce(max(KEY), 0) FROM STORE.TABLE AS t WHERE CONDITION
"""
# Rows, and a sum of them.
COUNTED = """
SELECT text 'TABLE', count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text
FROM STORE.TABLE AS t WHERE CONDITION
"""

# The owner of a schema, and whether the current role acts for it; no row without the schema.
OWNED = """
SELECT pg_get_userbyid(n.nspowner)::text, pg_has_role(n.nspowner, 'USAGE')
FROM pg_namespace AS n WHERE n.nspname = %s
"""
SOURCE = """
SELECT
  current_setting('wal_level'),
  current_setting('max_replication_slots')::integer
    - (SELECT count(*) FROM pg_replication_slots),
  current_setting('max_wal_senders')::integer
    - (SELECT count(*) FROM pg_stat_replication),
  (SELECT r.rolsuper OR r.rolreplication FROM pg_roles AS r WHERE r.rolname = current_user),
  has_database_privilege(current_database(), 'CREATE'),
  (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()),
  pg_is_in_recovery()
"""
TARGET = """
SELECT
  current_setting('max_logical_replication_workers')::integer,
  r.rolsuper OR CASE WHEN current_setting('server_version_num')::integer >= 160000
    THEN pg_has_role('pg_create_subscription', 'USAGE') ELSE false END,
  r.rolsuper,
  pg_is_in_recovery()
FROM pg_roles AS r WHERE r.rolname = current_user
"""
# How many tables a target copies at a time: one worker is for the changes.
COPIES = """
SELECT least(
  current_setting('max_sync_workers_per_subscription')::integer,
  current_setting('max_logical_replication_workers')::integer - 1
)
"""
# Whether the current role acts for the store's owner, and the owner may make a schema.
OWNER = """
SELECT pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::integer >= 160000
    THEN 'SET' ELSE 'MEMBER' END),
  has_database_privilege(r.oid, current_database(), 'CREATE')
FROM pg_roles AS r WHERE r.rolname = %s
"""
