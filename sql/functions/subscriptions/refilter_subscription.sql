CREATE OR REPLACE FUNCTION refilter_subscription(
  subscription text,
  categories text[] DEFAULT NULL,
  types text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  metadata jsonb DEFAULT NULL,
  from_position bigint DEFAULT NULL,
  tags text[] DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
  safe bigint;
  swept bigint;
  lowest bigint;
  furthest bigint;
BEGIN
  PERFORM _refuse_stranger('refilter_subscription');
  PERFORM _refuse_metadata(metadata);
  categories := _set_of_names('categories', categories);
  types := _set_of_names('types', types);
  tags := _set_of_names('tags', tags);
  PERFORM _refuse_filter(0, 1, 'stream', stream_pattern);
  safe := safe_position();
  -- In the order in which others take them (docs/design.md). It waits for the worker that looks for
  -- work and for acknowledgements that are not committed yet.
  source := _lock_subscription(subscription);
  SELECT w.swept_position INTO swept
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  PERFORM _lock_partitions(source.subscription_id);
  SELECT min(r.reached), max(r.reached) INTO lowest, furthest
  FROM _reached_positions(source.subscription_id, swept) AS r;
  PERFORM _refuse_refilter(
    _subscription_of(subscription), lowest, furthest, from_position, safe
  );

  -- Every lease given before is void: its worker holds messages of the former filter, and would
  -- acknowledge those with them that it does not hold. A partition in which nothing waits has
  -- handled everything up to the swept position, although its checkpoint lies before.
  UPDATE subscription_partitions AS p
  SET
    checkpoint = g.reached,
    swept_position = CASE
      WHEN p.swept_position IS NOT NULL THEN greatest(p.swept_position, g.reached)
    END,
    token = _new_token(p.token),
    leased_until = NULL,
    -- claim_batch may have read the former filter before it locks this row: with a time here it
    -- leaves the partition to _claim_of, which reads the filter again.
    retry_at = coalesce(p.retry_at, clock_timestamp()),
    leases = 0
  FROM (
    SELECT r.partition, coalesce(from_position, r.reached) AS reached
    FROM _reached_positions(source.subscription_id, swept) AS r
  ) AS g
  WHERE p.subscription_id = source.subscription_id AND p.partition = g.partition;
  UPDATE subscriptions AS s
  SET
    categories = refilter_subscription.categories,
    types = refilter_subscription.types,
    stream_pattern = refilter_subscription.stream_pattern,
    metadata = refilter_subscription.metadata,
    tags = refilter_subscription.tags
  WHERE s.subscription_id = source.subscription_id;
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;

  -- List again the messages that were known to wait: the swept position stays, because no partition
  -- may be beyond it when their number changes.
  swept := greatest(swept, from_position);
  UPDATE subscription_sweeps AS w
  SET swept_position = coalesce(from_position, lowest)
  WHERE w.subscription_id = source.subscription_id;
  WHILE source.partitions > 1 AND (
    SELECT w.swept_position < swept
    FROM subscription_sweeps AS w
    WHERE w.subscription_id = source.subscription_id
  ) LOOP
    PERFORM _sweep_subscription(_subscription_of(subscription), swept);
  END LOOP;
  PERFORM _notify_sleepers();
  RETURN coalesce(from_position, lowest);
END
$$;

COMMENT ON FUNCTION refilter_subscription(text, text[], text[], text, jsonb, bigint, text[]) IS
$$Change what a subscription reads: all its filters, as create_subscription takes them. Return the
position after which it gains messages. Without from_position each partition gains them after its
checkpoint, and the lowest one is returned. With from_position none gains a message up to there: all
partitions must have handled every message of the former filter up to it, and no message after it.
The workers lose their leases, and handle their batches again by the new filter; no message of both
filters is left out. Parked messages stay parked, a stopped partition stays stopped. Raises MS021
for an unknown subscription, 22023 for a bad argument: also for a from_position that was passed, or
that is not reached yet.$$;
