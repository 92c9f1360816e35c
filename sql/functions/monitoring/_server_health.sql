CREATE OR REPLACE FUNCTION _server_health()
RETURNS TABLE (
  name text,
  status text,
  value text,
  remedy text
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    c.name,
    CASE WHEN current_setting(c.name) = ANY (c.good) THEN 'ok' ELSE c.otherwise END,
    current_setting(c.name),
    c.remedy
  FROM (
    VALUES
      (
        'default_transaction_isolation', '{read committed}'::text[], 'fail',
        'Reading across streams needs READ COMMITTED: ALTER DATABASE … SET '
          'default_transaction_isolation = ''read committed'', or set it in the session.'
      ),
      (
        'fsync', '{on}', 'fail',
        'A crash of the machine can destroy the database: set it to on.'
      ),
      (
        'full_page_writes', '{on}', 'fail',
        'A crash of the machine can destroy the database: set it to on.'
      ),
      (
        'synchronous_commit', '{on,local,remote_write,remote_apply}', 'warn',
        'A crash of the server can lose writes that were answered: set it to on, unless that is '
          'what you want.'
      ),
      (
        'autovacuum', '{on}', 'fail',
        'Tables bloat, and the server stops when transaction ids run out: set it to on.'
      ),
      (
        'track_counts', '{on}', 'fail',
        'Autovacuum does nothing without it: set it to on.'
      ),
      (
        'TimeZone', ARRAY[current_setting('TimeZone')], 'ok',
        'Times are stored as instants; the setting says only how they are shown.'
      )
  ) AS c (name, good, otherwise, remedy)
  UNION ALL
  SELECT
    'transaction_ids',
    CASE WHEN d.age > 1500000000 THEN 'fail' WHEN d.age > 600000000 THEN 'warn' ELSE 'ok' END,
    d.age::text,
    'Transaction ids run out at 2 billion: see why autovacuum does not freeze (long transactions, '
      'prepared transactions, replication slots), and run VACUUM.'
  FROM (
    SELECT age(p.datfrozenxid) AS age FROM pg_database AS p WHERE p.datname = current_database()
  ) AS d
  UNION ALL
  SELECT
    'replication_slots',
    CASE
      WHEN max(s.bytes) > 10737418240 THEN 'fail'
      WHEN max(s.bytes) > 1073741824 OR bool_or(s.lost) THEN 'warn'
      ELSE 'ok'
    END,
    coalesce(
      string_agg(format('%s: %s', s.slot_name, pg_size_pretty(s.bytes)), ', ')
        FILTER (WHERE s.bytes > 1073741824 OR s.lost),
      'none retains more than 1 GB'
    ),
    'WAL is kept for a slot that nobody reads until the disk is full: let its reader catch up, or '
      'pg_drop_replication_slot.'
  FROM (
    SELECT
      r.slot_name,
      pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
        r.restart_lsn
      ) AS bytes,
      coalesce(r.wal_status IN ('lost', 'unreserved'), false) AS lost
    FROM pg_replication_slots AS r
  ) AS s
  UNION ALL
  SELECT
    'prepared_transactions',
    CASE WHEN count(*) FILTER (WHERE x.prepared < now() - interval '5 minutes') > 0
      THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(x.gid, ', ') FILTER (WHERE x.prepared < now() - interval '5 minutes'),
      'none older than 5 minutes'
    ),
    'It keeps its locks, and vacuum from cleaning, even over a restart: COMMIT PREPARED or '
      'ROLLBACK PREPARED.'
  FROM pg_prepared_xacts AS x
  WHERE x.database = current_database()
  UNION ALL
  SELECT
    'idle_in_transaction',
    CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(format('pid %s (%s)', a.pid, a.usename), ', ' ORDER BY a.xact_start),
      'none for more than 5 minutes'
    ),
    'It keeps its locks, and vacuum from cleaning: end it with pg_terminate_backend, and set '
      'idle_in_transaction_session_timeout.'
  FROM pg_stat_activity AS a
  WHERE a.datname = current_database()
    AND a.state LIKE 'idle in transaction%'
    AND a.xact_start < now() - interval '5 minutes';
END
$$;

COMMENT ON FUNCTION _server_health() IS
$$Internal: the part of health that is about the server and its settings.$$;
