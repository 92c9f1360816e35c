CREATE OR REPLACE FUNCTION resume_subscription(
  subscription text,
  partition bigint DEFAULT NULL
)
RETURNS void
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
BEGIN
  PERFORM _refuse_stranger('resume_subscription');
  source := _lock_subscription(subscription);
  IF partition NOT BETWEEN 0 AND source.partitions - 1 THEN
    PERFORM _refuse_argument(
      'partition', format('must be one of 0 to %s', source.partitions - 1),
      jsonb_build_object('partition', partition)
    );
  ELSIF partition IS NULL THEN
    UPDATE subscriptions AS s SET paused = false WHERE s.subscription_id = source.subscription_id;
  END IF;
  -- In the order of their numbers, as rewind_subscription: an UPDATE takes them in any order.
  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND (resume_subscription.partition IS NULL OR p.partition = resume_subscription.partition)
    AND (p.stopped OR p.retry_at IS NOT NULL)
  ORDER BY p.partition
  FOR UPDATE;
  UPDATE subscription_partitions AS p
  SET stopped = false, retry_at = NULL, attempts = 0, leases = 0
  WHERE p.subscription_id = source.subscription_id
    AND (resume_subscription.partition IS NULL OR p.partition = resume_subscription.partition)
    AND (p.stopped OR p.retry_at IS NOT NULL);
  PERFORM _notify_sleepers();
END
$$;

COMMENT ON FUNCTION resume_subscription(text, bigint) IS
$$Resume a paused subscription and all its stopped partitions, or one stopped partition. The message
that failed is tried again at once. Raises 22023 for a partition that the subscription does not
have, MS021 for an unknown subscription.$$;
