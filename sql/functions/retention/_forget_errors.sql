CREATE OR REPLACE FUNCTION _forget_errors(
  positions bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The callers hold locks of streams. A handler that holds these rows may wait for such a lock, so
  -- to wait for the rows here would deadlock.
  WITH free AS MATERIALIZED (
    SELECT p.subscription_id, p.partition
    FROM subscription_partitions AS p
    WHERE p.failed_position = ANY (positions) AND p.error IS NOT NULL
    FOR UPDATE SKIP LOCKED
  )
  UPDATE subscription_partitions AS p
  SET error = NULL
  FROM free AS f
  WHERE p.subscription_id = f.subscription_id AND p.partition = f.partition;
  WITH free AS MATERIALIZED (
    SELECT k.subscription_id, k.global_position
    FROM parked_messages AS k
    WHERE k.global_position = ANY (positions) AND k.error IS NOT NULL
    FOR UPDATE SKIP LOCKED
  )
  UPDATE parked_messages AS k
  SET error = NULL
  FROM free AS f
  WHERE k.subscription_id = f.subscription_id AND k.global_position = f.global_position;
  IF EXISTS (SELECT FROM _kept_errors() AS e WHERE e.global_position = ANY (positions)) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_in_use',
      MESSAGE = 'a handler is at work on a message that failed',
      DETAIL = positions::text;
  END IF;
END
$$;

COMMENT ON FUNCTION _forget_errors(bigint[]) IS
$$Internal: forget what handlers said when they failed on these messages: it may quote them. Raises
55006 if other transactions have locked such a row, and waits for none of them. DETAIL is then the
argument of _wait_for_handlers: the caller undoes what it did, so that it holds no lock, and
waits.$$;
