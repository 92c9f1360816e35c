CREATE OR REPLACE FUNCTION hold_subscription(
  subscription text
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  held bigint;
BEGIN
  PERFORM _refuse_isolation();
  -- The subscription first: a repartition would replace the rows of its partitions.
  held := (_lock_subscription(subscription)).subscription_id;
  PERFORM _lock_partitions(held);
  -- A statement of its own, which sees what was acknowledged before the locks were granted.
  RETURN (
    SELECT max(p.checkpoint)
    FROM subscription_partitions AS p
    WHERE p.subscription_id = held
  );
END
$$;

COMMENT ON FUNCTION hold_subscription(text) IS
$$Keep a subscription's workers from acknowledging until the transaction ends; return the highest
checkpoint of its partitions: it has handled no message after that position. Handlers that work
meanwhile commit afterwards. Raises MS021 if there is none; MS004 unless under READ COMMITTED.$$;
