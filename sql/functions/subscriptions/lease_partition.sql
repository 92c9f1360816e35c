CREATE OR REPLACE FUNCTION lease_partition(
  source subscriptions,
  owner text,
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
  chosen bigint;
BEGIN
  -- What waits longest comes first, and no partition that is idle is looked at. A loop, because for
  -- a join the planner may begin with the partitions (tests/plans).
  FOR waiting IN
    SELECT h.partition, h.head
    FROM subscription_heads AS h
    WHERE h.subscription_id = source.subscription_id
    ORDER BY h.head
  LOOP
    SELECT p.partition INTO chosen
    FROM subscription_partitions AS p
    WHERE p.subscription_id = source.subscription_id
      AND p.partition = waiting.partition
      AND p.checkpoint < waiting.head
      AND NOT p.stopped
      AND (p.leased_until IS NULL OR p.leased_until < clock_timestamp())
      AND (p.retry_at IS NULL OR p.retry_at <= clock_timestamp())
    FOR UPDATE SKIP LOCKED;
    EXIT WHEN FOUND;
  END LOOP;

  IF chosen IS NULL THEN
    FOR waiting IN
      SELECT DISTINCT k.partition
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id
        AND k.replay
        -- What was deleted since cannot be handed out.
        AND EXISTS (SELECT FROM messages AS m WHERE m.global_position = k.global_position)
    LOOP
      SELECT p.partition INTO chosen
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id
        AND p.partition = waiting.partition
        AND (p.leased_until IS NULL OR p.leased_until < clock_timestamp())
        AND (p.retry_at IS NULL OR p.retry_at <= clock_timestamp())
      FOR UPDATE SKIP LOCKED;
      EXIT WHEN FOUND;
    END LOOP;
  END IF;
  IF chosen IS NULL THEN
    RETURN;
  END IF;

  RETURN QUERY
  UPDATE subscription_partitions AS p
  SET
    token = new_token(p.token),
    owner = lease_partition.owner,
    lease = lease_partition.lease,
    leased_until = clock_timestamp() + lease_partition.lease
  WHERE p.subscription_id = source.subscription_id AND p.partition = chosen
  RETURNING p.*;
END
$$;

COMMENT ON FUNCTION lease_partition(subscriptions, text, interval) IS
$$Internal: lease a partition that is known to have work and is free.$$;
