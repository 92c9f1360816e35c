CREATE OR REPLACE FUNCTION _lock_partitions(
  subscription_id bigint
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
  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = _lock_partitions.subscription_id
  ORDER BY p.partition
  FOR UPDATE;
END
$$;

COMMENT ON FUNCTION _lock_partitions(bigint) IS
$$Internal: lock the rows of all partitions of a subscription, in the order of their numbers.$$;
