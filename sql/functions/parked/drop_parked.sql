CREATE OR REPLACE FUNCTION drop_parked(
  subscription text,
  global_position bigint DEFAULT NULL
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
  dropped bigint;
BEGIN
  PERFORM _refuse_stranger('drop_parked');
  source := _lock_subscription(subscription);
  PERFORM _lock_parked(source.subscription_id, global_position);
  DELETE FROM parked_messages AS k
  WHERE k.subscription_id = source.subscription_id
    AND (drop_parked.global_position IS NULL OR k.global_position = drop_parked.global_position);
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END
$$;

COMMENT ON FUNCTION drop_parked(text, bigint) IS
$$Forget one parked message, or all, as dealt with; answers how many. The messages themselves stay
in the store. Raises MS021 for an unknown subscription.$$;
