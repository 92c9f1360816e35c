CREATE OR REPLACE FUNCTION _refuse_lock()
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  transactions json;
BEGIN
  SELECT
    json_agg(
      json_build_object(
        'pid', h.pid, 'gid', p.gid, 'since', coalesce(a.xact_start, p.prepared),
        'state', a.state, 'role', coalesce(a.usename, p.owner),
        -- Or the kind of process, of an autovacuum. Not the query, which can have data in it.
        'application', coalesce(nullif(a.application_name, ''), a.backend_type)
      )
      ORDER BY coalesce(a.xact_start, p.prepared)
    )
  INTO transactions
  FROM (
    SELECT DISTINCT l.pid, l.virtualtransaction
    FROM pg_locks AS l
    JOIN _fenced_tables() AS t (name) ON l.relation = to_regclass(quote_ident(t.name))
    WHERE l.locktype = 'relation'
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND l.granted
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
      AND l.pid IS DISTINCT FROM pg_backend_pid()
  ) AS h
  LEFT JOIN pg_stat_activity AS a ON a.pid = h.pid
  -- A prepared transaction has no process; its id is one of its locks.
  LEFT JOIN pg_locks AS x
    ON h.pid IS NULL
    AND x.virtualtransaction = h.virtualtransaction
    AND x.locktype = 'transactionid'
  LEFT JOIN pg_prepared_xacts AS p ON p.transaction = x.transactionid;
  RAISE EXCEPTION USING
    ERRCODE = 'lock_not_available',
    MESSAGE = 'transactions have changed the store, and did not end in time',
    DETAIL = json_build_object('transactions', transactions)::text,
    HINT = 'Nothing was changed. Wait for them and call it again, or end them: a pid by '
      'pg_terminate_backend, a gid by COMMIT PREPARED or ROLLBACK PREPARED.';
END
$$;

COMMENT ON FUNCTION _refuse_lock() IS
$$Internal: raise 55P03 and name the transactions that hold a lock on a table which a fence
closes.$$;
