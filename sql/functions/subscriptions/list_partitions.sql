CREATE OR REPLACE FUNCTION list_partitions()
RETURNS TABLE (
  subscription text,
  partition bigint,
  state text,
  checkpoint bigint,
  behind bigint,
  worker text,
  leased_until timestamptz,
  retry_at timestamptz,
  attempts bigint,
  failed_position bigint,
  error text
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint := 9223372036854775807;
BEGIN
  -- A standby does not know what is in flight: there it counts up to the last message it has.
  IF pg_is_in_recovery() THEN
    safe := _last_visible(safe);
  ELSE
    safe := (horizon()).safe_position;
  END IF;
  RETURN QUERY
  SELECT
    s.subscription,
    p.partition,
    CASE
      WHEN s.paused THEN 'paused'
      WHEN p.stopped THEN 'stopped'
      WHEN p.leased_until BETWEEN clock_timestamp() AND clock_timestamp() + p.lease THEN 'working'
      WHEN e.waits AND p.retry_at > clock_timestamp() THEN 'retrying'
      WHEN e.waits OR e.reached < safe THEN 'waiting'
      ELSE 'idle'
    END,
    e.reached,
    greatest(safe - e.reached, 0),
    p.worker,
    p.leased_until,
    p.retry_at,
    p.attempts,
    p.failed_position,
    p.error
  FROM subscriptions AS s
  JOIN subscription_sweeps AS w USING (subscription_id)
  JOIN subscription_partitions AS p USING (subscription_id)
  LEFT JOIN subscription_heads AS h USING (subscription_id, partition)
  CROSS JOIN LATERAL (
    SELECT
      coalesce(_may_wait(p.checkpoint, p.swept_position, h.head), false) AS waits,
      CASE
        WHEN p.swept_position IS NOT NULL OR h.head > p.checkpoint THEN p.checkpoint
        ELSE w.swept_position
      END AS reached
  ) AS e
  ORDER BY s.subscription, p.partition;
END
$$;

COMMENT ON FUNCTION list_partitions() IS
$$Return every partition of every subscription: its state (idle, waiting, working, retrying,
stopped, paused), its checkpoint, how many positions that is behind the safe position, the worker
that has, or last had, the lease, and the last failure. On a standby, behind counts up to the last
message that it has.$$;
