CREATE OR REPLACE FUNCTION extend_lease(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS timestamptz
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
  extended timestamptz;
BEGIN
  UPDATE subscription_partitions AS p
  SET leased_until = clock_timestamp() + p.lease
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = extend_lease.partition
    AND p.token = extend_lease.token
    AND p.leased_until IS NOT NULL
  RETURNING p.leased_until INTO extended;
  IF extended IS NULL THEN
    PERFORM _refuse_lease(subscription, partition, token);
  END IF;
  RETURN extended;
END
$$;

COMMENT ON FUNCTION extend_lease(text, bigint, bigint) IS
$$Extend a lease by its length from now; answers its new end. Raises MS020 if it is lost.$$;
