CREATE OR REPLACE FUNCTION _finish_repartition(
  source subscriptions
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  swept bigint;
  own bigint;
BEGIN
  -- A claim waits for no lock, so it cannot deadlock: rows that another transaction has locked are
  -- left for the next claim.
  PERFORM FROM subscriptions AS s
  WHERE s.subscription_id = source.subscription_id
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  SELECT w.swept_position INTO swept
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- Once more, under the lock: another claim may have finished it since the caller read it.
  source := _subscription_of(source.subscription);
  IF source.next_partitions IS NULL THEN
    RETURN true;
  ELSIF source.partitions = 1 THEN
    SELECT p.checkpoint, p.swept_position INTO swept, own
    FROM subscription_partitions AS p
    WHERE p.subscription_id = source.subscription_id AND p.partition = 0
    FOR UPDATE SKIP LOCKED;
    IF (swept >= own) IS NOT TRUE THEN
      RETURN false;
    END IF;
    UPDATE subscription_sweeps AS w
    SET swept_position = swept
    WHERE w.subscription_id = source.subscription_id;
  ELSIF EXISTS (
    SELECT
    FROM subscription_heads AS h
    WHERE h.subscription_id = source.subscription_id
      AND h.head > (
        SELECT p.checkpoint
        FROM subscription_partitions AS p
        WHERE p.subscription_id = h.subscription_id AND p.partition = h.partition
      )
  ) THEN
    RETURN false;
  END IF;
  IF source.partitions > (
    SELECT count(*)
    FROM (
      SELECT
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id
      FOR UPDATE SKIP LOCKED
    ) AS f
  ) THEN
    RETURN false;
  END IF;
  IF (
    SELECT count(*)
    FROM parked_messages AS k
    WHERE k.subscription_id = source.subscription_id
  ) > (
    SELECT count(*)
    FROM (
      SELECT
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id
      FOR UPDATE SKIP LOCKED
    ) AS f
  ) THEN
    RETURN false;
  END IF;

  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;
  DELETE FROM subscription_partitions AS p WHERE p.subscription_id = source.subscription_id;
  PERFORM _add_partitions(source.subscription_id, source.next_partitions, swept);
  UPDATE subscriptions AS s
  SET partitions = source.next_partitions, next_partitions = NULL
  WHERE s.subscription_id = source.subscription_id;
  UPDATE parked_messages AS k
  SET partition = coalesce(
    (
      -- Not a join: for one the planner may walk along all messages (tests/plans).
      SELECT _partition_of(
        m.stream_id,
        (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id),
        m.metadata, source.next_partitions, source.partition_by
      )
      FROM _message_at(k.global_position) AS m
    ),
    k.partition
  )
  WHERE k.subscription_id = source.subscription_id;
  PERFORM _notify_sleepers();  -- there can be work for more of them now
  RETURN true;
END
$$;

COMMENT ON FUNCTION _finish_repartition(subscriptions) IS
$$Internal: give a subscription its new partitions if the old ones have dealt with all that was
known to wait; false if they have not, or another transaction has locked one of them.$$;
