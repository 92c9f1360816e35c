CREATE OR REPLACE FUNCTION _begin_lease(
  source subscriptions,
  free subscription_partitions,
  worker text,
  lease interval
)
RETURNS subscription_partitions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  leased subscription_partitions;
BEGIN
  IF free.leased_until IS NOT NULL AND _count_lost_lease(
    source, free, 'the worker ended without releasing its lease'
  ) = 'stop' THEN
    leased.partition := free.partition;
    RETURN leased;
  END IF;
  UPDATE subscription_partitions AS p
  SET
    token = _new_token(free.token),
    worker = _begin_lease.worker,
    lease = _begin_lease.lease,
    leased_until = clock_timestamp() + _begin_lease.lease,
    -- The lease before, if it counts as a failure, has lasted longer than the pause would.
    retry_at = NULL,
    swept_position = free.swept_position,
    leases = p.leases + 1,
    server_started_at = pg_postmaster_start_time()
  WHERE p.subscription_id = source.subscription_id AND p.partition = free.partition
  RETURNING p.* INTO leased;
  RETURN leased;
END
$$;

COMMENT ON FUNCTION _begin_lease(subscriptions, subscription_partitions, text, interval) IS
$$Internal: lease a partition that the caller has locked and found free, with the swept position
that the caller has set in its row; return its row. A lease before that was neither given back nor
failed is counted. If that stops the partition, the row has no token.$$;
