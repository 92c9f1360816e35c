CREATE OR REPLACE FUNCTION _foreign_locks()
RETURNS TABLE (
  session text,
  role text,
  key text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  installer bigint := hashtextextended('pgstore:install:' || current_schema() COLLATE "C", 0);
BEGIN
  RETURN QUERY
  WITH keys AS MATERIALIZED (
    SELECT DISTINCT
      l.pid, l.virtualtransaction,
      CASE
        WHEN l.objsubid = 1 THEN
          CASE WHEN l.classid::bigint << 32 | l.objid::bigint = installer THEN 'installer' END
        WHEN l.classid::bigint = _stream_lock_class()::bigint & 4294967295 THEN 'stream'
        WHEN (l.classid::bigint - _mark_lock_class()) & 4294967295 <= 64 THEN 'mark'
        WHEN l.classid::bigint = _bell_lock_class()::bigint & 4294967295 THEN 'bell'
        WHEN l.classid::bigint = _gate_lock_class()::bigint & 4294967295 THEN 'gate'
        WHEN l.classid::bigint = _tag_lock_class()::bigint & 4294967295 THEN 'tag'
      END AS key
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory'
      AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  ),
  held AS MATERIALIZED (
    SELECT
      k.key,
      coalesce('pid ' || k.pid, x.gid) AS session,
      coalesce(a.usename, x.owner)::text AS role,
      -- No function of the store leaves such a key to a session without a transaction. A second,
      -- because the locks were looked at a moment before.
      k.key <> 'bell' AND a.state = 'idle'
        AND a.state_change < clock_timestamp() - interval '1 second' AS idle
    FROM keys AS k
    LEFT JOIN pg_stat_activity AS a ON a.pid = k.pid
    LEFT JOIN pg_prepared_xacts AS x ON k.pid IS NULL
      AND x.transaction IN (
        SELECT t.transactionid
        FROM pg_locks AS t
        WHERE t.locktype = 'transactionid'
          AND t.pid IS NULL
          AND t.virtualtransaction = k.virtualtransaction
      )
    WHERE k.key IS NOT NULL
  ),
  rights AS MATERIALIZED (
    SELECT d.role, d.key, _may_lock(d.role, d.key) AS may
    FROM (SELECT DISTINCT h.role, h.key FROM held AS h WHERE h.role IS NOT NULL) AS d
  )
  SELECT h.session, h.role, h.key
  FROM held AS h
  JOIN rights AS r ON r.role = h.role AND r.key = h.key
  WHERE h.idle OR NOT r.may
  ORDER BY h.session, h.key;
END
$$;

COMMENT ON FUNCTION _foreign_locks() IS
$$Internal: list sessions, and prepared transactions, that seem to hold an advisory lock of the
store without one of its functions: their role has no right to such a function, or they hold the
lock outside a transaction. Each role that may connect can take any advisory lock.$$;
