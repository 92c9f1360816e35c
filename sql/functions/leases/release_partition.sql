CREATE OR REPLACE FUNCTION release_partition(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  UPDATE subscription_partitions AS p
  SET leased_until = NULL
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = release_partition.partition
    AND p.token = release_partition.token
    AND p.leased_until IS NOT NULL;
  RETURN FOUND;
END
$$;

COMMENT ON FUNCTION release_partition(text, bigint, bigint) IS
$$Give a lease back; false if it was lost.$$;
