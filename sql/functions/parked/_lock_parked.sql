CREATE OR REPLACE FUNCTION _lock_parked(
  subscription_id bigint,
  global_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- In one order: an UPDATE or DELETE of several rows takes them in any.
  PERFORM FROM parked_messages AS k
  WHERE k.subscription_id = _lock_parked.subscription_id
    AND (_lock_parked.global_position IS NULL
      OR k.global_position = _lock_parked.global_position)
  ORDER BY k.global_position
  FOR UPDATE;
END
$$;

COMMENT ON FUNCTION _lock_parked(bigint, bigint) IS
$$Internal: lock the row of one parked message of a subscription, or of all (NULL), in the order of
their positions.$$;
