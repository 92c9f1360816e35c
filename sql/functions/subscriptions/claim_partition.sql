CREATE OR REPLACE FUNCTION claim_partition(
  subscriptions text[],
  owner text,
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
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  swept bigint;
  source subscriptions;
  name text;
  looks bigint := bigint '0';
  busy boolean := false;
BEGIN
  IF (lease > '0') IS NOT TRUE THEN
    PERFORM refuse_argument('lease', 'must be more than 0');
  ELSIF subscriptions IS NULL OR array_position(subscriptions, NULL) IS NOT NULL THEN
    PERFORM refuse_argument('subscriptions', 'must be names');
  END IF;
  PERFORM refuse_isolation();
  safe := safe_position();

  FOREACH name IN ARRAY claim_partition.subscriptions LOOP
    source := subscription_of(name);
    CONTINUE WHEN source.paused;
    LOOP
      IF source.partitions = 1 THEN
        SELECT p.partition, p.token, p.checkpoint INTO partition, token, checkpoint
        FROM lease_only_partition(source, claim_partition.owner, claim_partition.lease, safe) AS p;
        IF token IS NOT NULL THEN
          subscription := source.subscription;
          RETURN NEXT;
          RETURN;
        ELSIF partition IS NOT NULL THEN
          looks := looks + 1;
          IF looks >= 3 THEN
            busy := true;
            EXIT;
          END IF;
        ELSE
          EXIT WHEN source.next_partitions IS NULL OR NOT finish_repartition(source);
          source := subscription_of(name);
        END IF;
        CONTINUE;
      END IF;

      RETURN QUERY
      SELECT source.subscription, p.partition, p.token, p.checkpoint
      FROM lease_partition(source, claim_partition.owner, claim_partition.lease) AS p;
      IF FOUND THEN
        RETURN;
      END IF;

      SELECT w.swept_position INTO swept
      FROM subscription_sweeps AS w
      WHERE w.subscription_id = source.subscription_id;
      IF source.next_partitions IS NOT NULL THEN
        EXIT WHEN NOT finish_repartition(source);
        source := subscription_of(name);
      ELSIF swept >= safe THEN
        EXIT;
      ELSIF looks >= 3 OR NOT sweep_subscription(source, safe) THEN
        -- Not all at once: it holds up others, and this transaction.
        busy := true;
        EXIT;
      END IF;
      looks := looks + 1;
    END LOOP;
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
unless it is extended; its token is what acknowledge and the others check, so who lost the lease
cannot change anything. Raises 22023 for a bad argument, MS021 for an unknown subscription, and
MS004 as read_all.$$;
