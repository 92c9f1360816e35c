CREATE OR REPLACE FUNCTION _open_marks()
RETURNS TABLE (
  virtualtransaction text,
  pid integer,
  after_position bigint
)
LANGUAGE sql
STABLE
PARALLEL UNSAFE
BEGIN ATOMIC
  SELECT
    l.virtualtransaction,
    l.pid,
    -- Parts that belong to different marks of a transaction give a bound that is too low, which is
    -- safe. Without the lock for the highest bits, these are 0.
    (coalesce(min(l.key) FILTER (WHERE l.class = 64), 0) << 38)
      + min(l.class << 32 | l.key) FILTER (WHERE l.class < 64)
  FROM (
    SELECT
      a.virtualtransaction, a.pid, a.objid::bigint AS key,
      (a.classid::bigint - _mark_lock_class()) & 4294967295 AS class
    FROM pg_locks AS a
    WHERE a.locktype = 'advisory'
      AND a.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND a.objsubid = 2
  ) AS l
  WHERE l.class <= 64
  GROUP BY l.virtualtransaction, l.pid
  HAVING min(l.class) < 64;
END;

COMMENT ON FUNCTION _open_marks() IS
$$Internal: the open transactions that have an in-flight mark, and the position after which each may
still write. pid is NULL for a prepared transaction. Inlined into its callers, hence without a
search_path of its own.$$;
