CREATE OR REPLACE FUNCTION next_claim(
  subscriptions text[]
)
RETURNS interval
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT min(greatest(d.due - clock_timestamp(), '0'))
    FROM subscriptions AS s
    -- The partitions in which messages may wait: no other one is looked at, however many there are.
    CROSS JOIN LATERAL (
      SELECT bigint '0' AS partition, NULL::bigint AS head
      WHERE s.partitions = 1
      UNION ALL
      SELECT h.partition, h.head
      FROM subscription_heads AS h
      WHERE s.partitions > 1 AND h.subscription_id = s.subscription_id
    ) AS w
    -- OFFSET 0, because the planner may begin a join with all partitions (tests/plans).
    CROSS JOIN LATERAL (
      SELECT q.leased_until, q.retry_at, q.stopped, q.checkpoint, q.swept_position
      FROM subscription_partitions AS q
      WHERE q.subscription_id = s.subscription_id AND q.partition = w.partition
      OFFSET 0
    ) AS p
    CROSS JOIN LATERAL (SELECT greatest(p.leased_until, p.retry_at) AS due) AS d
    WHERE _is_open()
      AND s.subscription = ANY (next_claim.subscriptions COLLATE "C")
      AND NOT s.paused
      AND NOT p.stopped
      AND _may_wait(p.checkpoint, p.swept_position, w.head)
      -- Since the transaction began, not from now on: a retry that has become due since a claim in
      -- the same statement is due at once.
      AND d.due > now()
  );
END
$$;

COMMENT ON FUNCTION next_claim(text[]) IS
$$How long after a claim that found nothing there can be something to claim without a notification:
until the first lease, or pause after a failure, of a partition of these subscriptions ends. NULL if
none has one. Call it in the transaction of the claim, and claim again after that time.$$;
