CREATE OR REPLACE FUNCTION _lease_only_partition(
  source subscriptions,
  worker text,
  lease interval,
  safe bigint
)
RETURNS SETOF subscription_partitions
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
  free subscription_partitions;
  to_position bigint;
BEGIN
  SELECT p.* INTO free
  FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = 0
    -- It has none if the partitions have changed since the caller read the subscription.
    AND p.swept_position IS NOT NULL
    AND _may_lease(p.leased_until, p.lease, p.retry_at)
  FOR UPDATE SKIP LOCKED;
  IF free.partition IS NULL THEN
    RETURN;
  END IF;
  IF free.checkpoint > safe THEN
    PERFORM _refuse_position(free.checkpoint);
  END IF;
  IF source.next_partitions IS NOT NULL THEN
    safe := free.swept_position;  -- what was known to wait is dealt with first
  END IF;
  -- Only where types, streams, metadata or tags are left out can it take long to find nothing.
  to_position := CASE
    WHEN source.types IS NULL AND source.stream_pattern IS NULL AND source.metadata IS NULL
      AND source.tags IS NULL
      THEN safe
    ELSE _window_of(
      source.categories, free.checkpoint, safe, 10000,
      CASE WHEN source.tags IS NOT NULL THEN _rarest_tag(source.tags, free.checkpoint) END
    )
  END;

  IF free.stopped OR NOT _subscription_has(source, 0, free.checkpoint, to_position + 1) THEN
    IF free.checkpoint < to_position AND NOT free.stopped THEN
      -- Once more, under the lock: refilter_subscription may have changed what it reads since the
      -- caller read it, and the checkpoint would pass messages that it reads now.
      IF source IS DISTINCT FROM _subscription_of(source.subscription) THEN
        free.token := NULL;
        RETURN NEXT free;
        RETURN;
      END IF;
      UPDATE subscription_partitions AS p
      SET checkpoint = to_position, swept_position = to_position
      WHERE p.subscription_id = source.subscription_id AND p.partition = 0;
      IF to_position < safe THEN
        free.token := NULL;
        RETURN NEXT free;
        RETURN;
      END IF;
    END IF;
    IF NOT EXISTS (
      SELECT
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id
        AND k.replay
        -- Messages that were deleted since cannot be handed out. Not EXISTS: for a join the planner
        -- may walk along all messages (tests/plans).
        AND (SELECT m.global_position FROM _message_at(k.global_position) AS m) IS NOT NULL
    ) THEN
      RETURN;
    END IF;
  END IF;

  free.swept_position := greatest(free.swept_position, safe);
  RETURN NEXT _begin_lease(
    source, free, _lease_only_partition.worker, _lease_only_partition.lease
  );
END
$$;

COMMENT ON FUNCTION _lease_only_partition(subscriptions, text, interval, bigint) IS
$$Internal: look for work of a subscription with one partition, and lease that if it has some and is
free. Its own row says what it has, so nothing is swept. A row without a token: there is more to
look at.$$;
