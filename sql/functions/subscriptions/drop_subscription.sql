CREATE OR REPLACE FUNCTION drop_subscription(
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
  dropped bigint;
BEGIN
  PERFORM _refuse_stranger('drop_subscription');
  -- In the order in which others take them (docs/design.md): the subscription, its sweep, its
  -- partitions, their lists of work, its parked messages.
  dropped := (_lock_subscription(subscription)).subscription_id;
  PERFORM FROM subscription_sweeps AS w WHERE w.subscription_id = dropped FOR UPDATE;
  PERFORM _lock_partitions(dropped);
  PERFORM _lock_parked(dropped, NULL);
  DELETE FROM subscription_sweeps AS w WHERE w.subscription_id = dropped;
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = dropped;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = dropped;
  DELETE FROM subscription_partitions AS p WHERE p.subscription_id = dropped;
  DELETE FROM parked_messages AS k WHERE k.subscription_id = dropped;
  DELETE FROM subscriptions AS s WHERE s.subscription_id = dropped;
END
$$;

COMMENT ON FUNCTION drop_subscription(text) IS
$$Delete a subscription, with its checkpoints and its parked messages. Its workers lose their
leases. Raises MS021 if there is none.$$;
