CREATE OR REPLACE FUNCTION _trust_gates()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  installer bigint := hashtextextended('pgstore:install:' || current_schema() COLLATE "C", 0);
BEGIN
  -- One session at a time, until it commits; the others do without. The gates have keys 0 to 3.
  IF current_setting('transaction_read_only')::boolean
    OR current_setting('transaction_isolation') <> 'read committed'
    OR NOT pg_try_advisory_xact_lock(_gate_lock_class(), 4)
  THEN
    RETURN;
  END IF;
  IF NOT EXISTS (SELECT FROM gate_waits) THEN
    -- A commit is visible before other sessions learn that functions have changed. A transaction
    -- that begins in between would be missed, and would write by the functions of before. The
    -- upgrade gives back the installer's key after both.
    IF pg_try_advisory_lock_shared(installer) AND pg_advisory_unlock_shared(installer) THEN
      -- With this transaction, which may have begun before the upgrade too. DISTINCT: pg_locks can
      -- list a lock twice that is just moved out of its session's fast path.
      INSERT INTO gate_waits (virtual_transaction)
      SELECT DISTINCT l.virtualxid FROM pg_locks AS l WHERE l.locktype = 'virtualxid' AND l.granted;
    END IF;
    RETURN;
  END IF;
  IF EXISTS (
    SELECT
    FROM pg_locks AS l
    JOIN gate_waits AS w ON w.virtual_transaction = l.virtualxid
    WHERE l.locktype = 'virtualxid' AND l.granted
  ) THEN
    RETURN;
  END IF;
  -- Afterwards: one of them may have been prepared meanwhile. Then it has a mark, and no gate.
  IF EXISTS (
    SELECT
    FROM _open_marks() AS m
    WHERE m.pid IS NULL
      AND NOT EXISTS (
        SELECT
        FROM pg_locks AS l
        WHERE l.locktype = 'advisory'
          AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          AND l.classid::bigint = _gate_lock_class()::bigint & 4294967295
          AND l.objsubid = 2
          AND l.pid IS NULL
          AND l.virtualtransaction = m.virtualtransaction
      )
  ) THEN
    RETURN;
  END IF;
  PERFORM setval('gate_trust_seq', 1);
  DELETE FROM gate_waits;
END
$$;

COMMENT ON FUNCTION _trust_gates() IS
$$Internal: after the upgrade that brought the gates, note which transactions are open; later, when
all of these have ended, let readers trust the gates. Readers call it until then. Does nothing in a
transaction that cannot write, or whose snapshot may be old.$$;
