CREATE OR REPLACE FUNCTION _claim_of(
  subscription text,
  worker text,
  lease interval,
  safe bigint
)
RETURNS TABLE (
  partition bigint,
  token bigint,
  checkpoint bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
  swept bigint;
BEGIN
  IF source.paused THEN
    RETURN;
  END IF;
  -- Not all at once: it holds up others, and this transaction.
  FOR looks IN 0..3 LOOP
    IF source.partitions = 1 THEN
      SELECT p.partition, p.token, p.checkpoint INTO partition, token, checkpoint
      FROM _lease_only_partition(source, _claim_of.worker, _claim_of.lease, safe) AS p;
      IF token IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
      ELSIF partition IS NULL THEN
        IF source.next_partitions IS NULL OR NOT _finish_repartition(source) THEN
          RETURN;
        END IF;
        source := _subscription_of(subscription);
      END IF;
      EXIT WHEN looks = 2;
      CONTINUE;
    END IF;

    SELECT w.swept_position INTO swept
    FROM subscription_sweeps AS w
    WHERE w.subscription_id = source.subscription_id;
    IF swept > safe THEN
      PERFORM _refuse_position(swept);
    END IF;
    SELECT p.partition, p.token, p.checkpoint INTO partition, token, checkpoint
    FROM _lease_partition(source, _claim_of.worker, _claim_of.lease) AS p;
    IF token IS NOT NULL THEN
      RETURN NEXT;
      RETURN;
    ELSIF partition IS NOT NULL THEN
      CONTINUE;
    END IF;
    IF source.next_partitions IS NOT NULL THEN
      IF NOT _finish_repartition(source) THEN
        RETURN;
      END IF;
      source := _subscription_of(subscription);
    ELSIF swept >= safe THEN
      RETURN;
    ELSIF looks = 3 OR NOT _sweep_subscription(source, safe) THEN
      EXIT;
    END IF;
  END LOOP;
  token := NULL;
  RETURN NEXT;
END
$$;

COMMENT ON FUNCTION _claim_of(text, text, interval, bigint) IS
$$Internal: lease a partition of a subscription that has work up to the safe position. No row: there
is nothing to do. A row without a token: there is more to look at, or others are just at it.$$;
