CREATE OR REPLACE FUNCTION _notify_sleepers()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- PostgreSQL cannot prepare a transaction that has notified: a program with two-phase commit sets
  -- this, and waiting readers find the message at their next fallback poll.
  IF lower(current_setting('pgstore.notify', true)) IN ('off', 'false', 'no', '0') IS NOT TRUE THEN
    PERFORM pg_notify(wake_channel(), '');
  END IF;
END
$$;

COMMENT ON FUNCTION _notify_sleepers() IS
$$Internal: notify the waiting readers when this transaction commits. Not if the setting
pgstore.notify is off.$$;
