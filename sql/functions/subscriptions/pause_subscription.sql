CREATE OR REPLACE FUNCTION pause_subscription(
  subscription text
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
  PERFORM _refuse_stranger('pause_subscription');
  source := _lock_subscription(subscription);
  UPDATE subscriptions AS s SET paused = true WHERE s.subscription_id = source.subscription_id;
END
$$;

COMMENT ON FUNCTION pause_subscription(text) IS
$$Hand out no more batches of a subscription; workers finish those that have begun. Raises MS021 for
an unknown subscription.$$;
