CREATE OR REPLACE FUNCTION _begin_lease(
  source subscriptions,
  free subscription_partitions,
  token bigint,
  worker text,
  lease interval,
  swept_position bigint,
  max_count bigint
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
    token = _begin_lease.token,
    worker = _begin_lease.worker,
    lease = _begin_lease.lease,
    leased_until = clock_timestamp() + _begin_lease.lease,
    -- The lease before, if it counts as a failure, has lasted longer than the pause would.
    retry_at = NULL,
    swept_position = _begin_lease.swept_position,
    leases = p.leases + 1,
    batch_size = greatest(p.batch_size, least(max_count, 1000)),
    server_started_at = pg_postmaster_start_time()
  WHERE p.subscription_id = source.subscription_id AND p.partition = free.partition
  RETURNING p.* INTO leased;
  RETURN leased;
END
$$;

COMMENT ON FUNCTION _begin_lease(
  subscriptions, subscription_partitions, bigint, text, interval, bigint, bigint
) IS
$$Internal: lease a partition that the caller has locked and found free, for a worker that
fetches max_count messages at once; return its row. A lease before that was neither given back nor
failed is counted. If that stops the partition, the row has no token.$$;
