CREATE OR REPLACE FUNCTION subscription_position(
  subscription text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  IF source.partitions = 1 THEN
    RETURN (
      SELECT p.checkpoint
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id AND p.partition = 0
    );
  END IF;
  -- One statement: the swept position and the waiting messages belong together.
  RETURN (
    SELECT least(
      w.swept_position,
      (
        SELECT min(p.checkpoint)
        FROM subscription_heads AS h
        CROSS JOIN LATERAL (
          SELECT i.checkpoint
          FROM subscription_partitions AS i
          WHERE i.subscription_id = h.subscription_id AND i.partition = h.partition
          LIMIT 1
        ) AS p
        WHERE h.subscription_id = source.subscription_id AND h.head > p.checkpoint
      )
    )
    FROM subscription_sweeps AS w
    WHERE w.subscription_id = source.subscription_id
  );
END
$$;

COMMENT ON FUNCTION subscription_position(text) IS
$$The global position up to which a subscription has dealt with everything, in all its partitions:
to wait until it has passed a message that was just written. Raises MS021 if there is none.$$;
