CREATE OR REPLACE FUNCTION claim_partition(
  subscriptions text[],
  worker text,
  lease interval DEFAULT '30 seconds'
)
RETURNS TABLE (
  subscription text,
  partition bigint,
  token bigint,
  checkpoint bigint
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
  safe bigint;
  name text;
  busy boolean := false;
BEGIN
  IF (lease > '0' AND lease <= '1000 years') IS NOT TRUE THEN
    PERFORM _refuse_value('lease', 'must be more than 0, and 1000 years at most', to_jsonb(lease));
  ELSIF subscriptions IS NULL
    OR array_ndims(subscriptions) > 1
    OR array_position(subscriptions, NULL) IS NOT NULL
  THEN
    PERFORM _refuse_value('subscriptions', 'must be names', to_jsonb(subscriptions));
  END IF;
  PERFORM _refuse_isolation();
  safe := safe_position();

  FOREACH name IN ARRAY claim_partition.subscriptions LOOP
    SELECT name, c.partition, c.token, c.checkpoint INTO subscription, partition, token, checkpoint
    FROM _claim_of(name, claim_partition.worker, claim_partition.lease, safe) AS c;
    IF token IS NOT NULL THEN
      RETURN NEXT;
      RETURN;
    END IF;
    busy := busy OR FOUND;
  END LOOP;
  IF busy THEN
    RETURN QUERY SELECT NULL::text, NULL::bigint, NULL::bigint, NULL::bigint;
  END IF;
END
$$;

COMMENT ON FUNCTION claim_partition(text[], text, interval) IS
$$Lease a partition that has work, of the first of these subscriptions that has any; call it in a
transaction of its own. No row: there is nothing to do now. A row of NULLs: there is more to look
at, or others are just at it; try again in some milliseconds. The lease ends after the given time
unless it is extended; acknowledge and the others check its token, so a worker that has lost the
lease cannot change anything. Raises 22023 for a bad argument, MS021 for an unknown subscription,
and MS004 as read_all.$$;
