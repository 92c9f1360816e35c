CREATE OR REPLACE FUNCTION _count_lost_lease(
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
  -- A restart of the server, or a crash of one of its processes, which ends all sessions, has ended
  -- the worker's transactions. If the clock was ahead, how long the worker was silent is not known.
  IF lost.server_started_at IS DISTINCT FROM pg_postmaster_start_time()
    OR pg_stat_get_bgwriter_stat_reset_time()
      > to_timestamp(0) + lost.token * interval '1 microsecond'
    OR lost.leased_until > clock_timestamp() + lost.lease
  THEN
    RETURN NULL;
  END IF;
  -- A count that a crash of the server takes back would never reach the last attempt.
  -- Not on: the claim would wait for a synchronous standby that may be absent.
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'local', true);
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

COMMENT ON FUNCTION _count_lost_lease(subscriptions, subscription_partitions, text) IS
$$Internal: count a lease that ended without being given back, while the server continued: a message
that was handed out may have ended its worker. If one message was handed out alone, and the
checkpoint has not moved since the lease began, this is a failed attempt at it; return what follows,
as fail_message. If there were several, it is not known which: as many are handed out one at a time.
Return NULL if nothing was counted.$$;
