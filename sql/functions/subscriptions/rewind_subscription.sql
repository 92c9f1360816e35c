CREATE OR REPLACE FUNCTION rewind_subscription(
  subscription text,
  to_position bigint DEFAULT NULL,
  to_time timestamptz DEFAULT NULL
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
  target bigint;
BEGIN
  PERFORM _refuse_stranger('rewind_subscription');
  -- The subscription before its sweep, as drop_subscription.
  source := _lock_subscription(subscription);
  target := coalesce(position_before(to_time), to_position);
  IF (target BETWEEN 0 AND safe_position()) IS NOT TRUE THEN
    PERFORM _refuse_argument(
      'to_position', 'must be between 0 and the safe position, or a time must be given',
      jsonb_build_object('to_position', to_position, 'safe_position', safe_position())
    );
  END IF;

  -- Waits for the worker that looks for work and for acknowledgements that are not committed yet;
  -- every lease given before is void after it. The partitions before their lists of work, as
  -- acknowledge does.
  PERFORM FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  PERFORM _lock_partitions(source.subscription_id);
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;
  UPDATE subscription_partitions AS p
  SET
    checkpoint = target,
    swept_position = CASE WHEN p.swept_position IS NOT NULL THEN target END,
    token = _new_token(p.token),
    leased_until = NULL,
    retry_at = NULL,
    attempts = 0,
    leases = 0,
    alone = 0,
    failed_position = NULL,
    error = NULL,
    stopped = false
  WHERE p.subscription_id = source.subscription_id;
  UPDATE subscription_sweeps AS w
  SET swept_position = target
  WHERE w.subscription_id = source.subscription_id;
  PERFORM _notify_sleepers();
  RETURN target;
END
$$;

COMMENT ON FUNCTION rewind_subscription(text, bigint, timestamptz) IS
$$Have a subscription continue after another global position, or with the messages added from a time
on: back, to have messages handled again, or forward, to leave some out. Return the position. Its
workers lose their leases. Parked messages stay parked. Raises 22023 for a position beyond the safe
one, MS021 for an unknown subscription.$$;
