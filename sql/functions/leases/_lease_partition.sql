CREATE OR REPLACE FUNCTION _lease_partition(
  source subscriptions,
  worker text,
  lease interval
)
RETURNS SETOF subscription_partitions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  waiting record;
  free subscription_partitions;
BEGIN
  -- The partition that waits longest comes first, and no idle partition is looked at. A loop,
  -- because for a join the planner may begin with the partitions (tests/plans).
  FOR waiting IN
    SELECT h.partition, h.head
    FROM subscription_heads AS h
    WHERE h.subscription_id = source.subscription_id
    ORDER BY h.head
  LOOP
    SELECT p.* INTO free
    FROM subscription_partitions AS p
    WHERE p.subscription_id = source.subscription_id
      AND p.partition = waiting.partition
      AND p.checkpoint < waiting.head
      AND NOT p.stopped
      AND _may_lease(p.leased_until, p.lease, p.retry_at)
    FOR UPDATE SKIP LOCKED;
    EXIT WHEN FOUND;
  END LOOP;

  IF free.partition IS NULL THEN
    FOR waiting IN
      SELECT DISTINCT k.partition
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id
        AND k.replay
        -- Messages that were deleted since cannot be handed out. Not EXISTS: for a join the planner
        -- may walk along all messages (tests/plans).
        AND (SELECT m.global_position FROM _message_at(k.global_position) AS m) IS NOT NULL
    LOOP
      SELECT p.* INTO free
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id
        AND p.partition = waiting.partition
        AND _may_lease(p.leased_until, p.lease, p.retry_at)
      FOR UPDATE SKIP LOCKED;
      EXIT WHEN FOUND;
    END LOOP;
  END IF;
  IF free.partition IS NULL THEN
    RETURN;
  END IF;

  RETURN NEXT _begin_lease(source, free, _lease_partition.worker, _lease_partition.lease);
END
$$;

COMMENT ON FUNCTION _lease_partition(subscriptions, text, interval) IS
$$Internal: lease a partition that is known to have work and is free. A row without a token: look
again.$$;
