CREATE OR REPLACE FUNCTION abandon_partition(
  subscription text,
  partition bigint,
  token bigint,
  error text
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
  lost subscription_partitions;
BEGIN
  SELECT p.* INTO lost
  FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = abandon_partition.partition
    AND p.token = abandon_partition.token
    AND p.leased_until IS NOT NULL
  FOR UPDATE;
  IF lost.token IS NULL THEN
    RETURN false;
  END IF;
  PERFORM _count_lost_lease(source, lost, error);
  -- Without a pause: most connections are lost for a reason that is no message's.
  UPDATE subscription_partitions AS p
  SET leased_until = NULL, retry_at = NULL
  WHERE p.subscription_id = source.subscription_id AND p.partition = abandon_partition.partition;
  RETURN true;
END
$$;

COMMENT ON FUNCTION abandon_partition(text, bigint, bigint, text) IS
$$Give a lease back after the handler's connection, and so its transaction, was lost for any reason.
Counts as a worker that ended without releasing its lease: a failed attempt, with this error, at a
message that was handed out alone, and nothing if the server has restarted since the lease began.
False if the lease was lost. Raises MS021 for an unknown subscription.$$;
