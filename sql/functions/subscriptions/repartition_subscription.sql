CREATE OR REPLACE FUNCTION repartition_subscription(
  subscription text,
  partitions bigint
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
  PERFORM _refuse_stranger('repartition_subscription');
  IF partitions IS NULL THEN
    PERFORM _refuse_value('partitions', 'must be between 1 and 65536', to_jsonb(partitions));
  END IF;
  PERFORM _refuse_filter(0, partitions, 'stream', NULL);
  -- The subscription before its sweep, as drop_subscription.
  source := _lock_subscription(subscription);
  -- Not while a worker looks for work: the workers first handle the messages that are known to
  -- wait.
  PERFORM FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  UPDATE subscriptions AS s
  SET next_partitions = nullif(repartition_subscription.partitions, s.partitions)
  WHERE s.subscription_id = source.subscription_id;
  PERFORM _notify_sleepers();
END
$$;

COMMENT ON FUNCTION repartition_subscription(text, bigint) IS
$$Change the number of partitions. The workers first handle the messages that they have found, so
that all partitions stand at the same position. Then the new ones begin there: no message is left
out, handled twice, or handled out of order. A stopped partition has to be resumed for that, and a
paused subscription too. Raises 22023 for a bad number, MS021 for an unknown subscription.$$;
