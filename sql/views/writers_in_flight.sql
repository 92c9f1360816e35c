CREATE OR REPLACE VIEW writers_in_flight AS
SELECT
  l.pid,
  x.gid AS prepared_transaction,
  coalesce(a.xact_start, x.prepared) AS since,
  coalesce(a.usename, x.owner) AS role,
  a.application_name AS application,
  a.state,
  l.after_position,
  greatest(b.last_position - l.after_position, 0) AS positions_waiting,
  _may_lock(coalesce(a.usename, x.owner)::text, 'mark') AS may_write
FROM _open_marks() AS l
CROSS JOIN (
  SELECT last_position() AS last_position
) AS b
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
-- A prepared transaction keeps the virtual id of its session until the server restarts; only its
-- lock on its own id tells which one it is.
LEFT JOIN pg_prepared_xacts AS x ON l.pid IS NULL
  AND x.transaction IN (
    SELECT t.transactionid
    FROM pg_locks AS t
    WHERE t.locktype = 'transactionid'
      AND t.pid IS NULL
      AND t.virtualtransaction = l.virtualtransaction
  )
ORDER BY after_position;

COMMENT ON VIEW writers_in_flight IS
$$The open transactions that have written to the store; the first one holds the safe position. Until
they end, readers across streams stop before the positions that they may still write.$$;
COMMENT ON COLUMN writers_in_flight.pid IS $$Process, for pg_terminate_backend; NULL if prepared.$$;
COMMENT ON COLUMN writers_in_flight.prepared_transaction IS
$$Name of the prepared transaction, for COMMIT PREPARED or ROLLBACK PREPARED.$$;
COMMENT ON COLUMN writers_in_flight.since IS $$When the transaction began, or was prepared.$$;
COMMENT ON COLUMN writers_in_flight.role IS $$Its role.$$;
COMMENT ON COLUMN writers_in_flight.application IS $$Its application_name.$$;
COMMENT ON COLUMN writers_in_flight.state IS $$The state of its session, as in pg_stat_activity.$$;
COMMENT ON COLUMN writers_in_flight.after_position IS $$It may still write after this position.$$;
COMMENT ON COLUMN writers_in_flight.positions_waiting IS
$$How many positions given since then wait behind it.$$;
COMMENT ON COLUMN writers_in_flight.may_write IS
$$Whether its role may write to the store, or may set a role that may. If not, the session has taken
the lock itself, and no message of the store is in flight.$$;
