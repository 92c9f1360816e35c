CREATE OR REPLACE FUNCTION count_lost_lease(
  source subscriptions,
  lost subscription_partitions,
  error text
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  first_position bigint;
  waiting bigint;
BEGIN
  -- If the server has ended since, or its processes have in a crash of one of them, that ended the
  -- worker's transactions. If the clock was ahead, nobody knows how long the worker was silent.
  IF lost.server_started_at IS DISTINCT FROM pg_postmaster_start_time()
    OR pg_stat_get_bgwriter_stat_reset_time()
      > to_timestamp(0) + lost.token * interval '1 microsecond'
    OR lost.leased_until > clock_timestamp() + lost.lease
  THEN
    RETURN NULL;
  END IF;
  -- A count that a crash of the server takes back would never reach the last attempt.
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;

  SELECT min(f.global_position), count(f.global_position) INTO first_position, waiting
  FROM fetch_batch(source.subscription, lost.partition, lost.token, 2) AS f;
  IF waiting = 0 THEN
    RETURN NULL;
  ELSIF waiting = 1 AND lost.leases > 0 THEN
    RETURN fail_message(
      source.subscription, lost.partition, lost.token, first_position, error
    );
  END IF;
  UPDATE subscription_partitions AS p
  SET alone = greatest(p.alone, p.batch_size, 1)
  WHERE p.subscription_id = source.subscription_id AND p.partition = lost.partition;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION count_lost_lease(subscriptions, subscription_partitions, text) IS
$$Internal: count a lease that ended without being given back, while the server went on: the message
in hand may have ended its worker. If that was one message alone, and the same one from the lease's
beginning, this is a failed attempt at it: answers what follows, as fail_message. If it was one of
several, nobody knows which: as many are handed out one at a time. NULL if nothing was counted.$$;
