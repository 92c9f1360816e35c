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

PUBLICATION = "SELECT FROM pg_publication WHERE pubname = %s"
SLOT = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
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
SELECT s.subslotname IS NOT NULL
FROM pg_subscription AS s
WHERE s.subname = %s
  AND s.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
"""
# How many tables there are, how many are copied, and whether the worker runs.
COPIED = """
SELECT count(*), count(*) FILTER (WHERE r.srsubstate = 'r'),
  (SELECT pid IS NOT NULL FROM pg_stat_subscription WHERE subname = s.subname AND relid IS NULL
   LIMIT 1)
FROM pg_subscription AS s
JOIN pg_subscription_rel AS r ON r.srsubid = s.oid
WHERE s.subname = %s
GROUP BY s.subname
"""
# Bytes of the write-ahead log that the target has not confirmed.
BEHIND = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.confirmed_flush_lsn)
FROM pg_replication_slots AS s WHERE s.slot_name = %s
"""
END = "SELECT pg_current_wal_flush_lsn()::text"
HAS_PASSED = """
SELECT s.confirmed_flush_lsn >= %s::text::pg_lsn
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
RIGHTS = """
SELECT r.name::text, pg_get_userbyid(a.grantee)::text, a.privilege_type
FROM STORE._list_rights() AS r
CROSS JOIN aclexplode(r.rights) AS a
WHERE a.grantee NOT IN (0, r.owner)
UNION ALL
SELECT '_writers_restricted', STORE._writers_restricted()::text, ''
"""
MISSING_ROLES = """
SELECT g.role FROM unnest(%s::text[]) AS g (role)
WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = g.role)
"""

LAST = "SELECT coalesce(max(m.global_position), 0) FROM STORE.messages AS m"

# As texts that do not depend on the session or the server's version.
PLAIN = """
SELECT set_config('datestyle', 'ISO, YMD', false), set_config('timezone', 'UTC', false),
  set_config('intervalstyle', 'postgres', false), set_config('extra_float_digits', '1', false),
  set_config('bytea_output', 'hex', false),
  -- A commit of a move is on disk, and on the synchronous standbys, before the next step.
  set_config('synchronous_commit', 'on', false)
"""
# Rows and their sum: of the messages those after a position, of which the rest was compared before.
COUNTED = """
SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text
FROM STORE.{table} AS t WHERE {condition}
"""
ROWS = """
SELECT c.reltuples FROM pg_class AS c
WHERE c.oid = (quote_ident(%s) || '.' || quote_ident(%s))::regclass
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
  (SELECT pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = %s),
  (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()),
  pg_is_in_recovery()
"""
TARGET = """
SELECT
  current_setting('max_logical_replication_workers')::integer,
  (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user)
    OR CASE WHEN current_setting('server_version_num')::integer >= 160000
      THEN pg_has_role('pg_create_subscription', 'USAGE') ELSE false END,
  has_database_privilege(current_database(), 'CREATE'),
  pg_is_in_recovery()
"""
