CREATE OR REPLACE FUNCTION _add_partitions(
  subscription_id bigint,
  partitions bigint,
  checkpoint bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO subscription_partitions (
    subscription_id, partition, checkpoint, token, attempts, swept_position, stopped
  )
  SELECT
    _add_partitions.subscription_id, g.partition, _add_partitions.checkpoint,
    _new_token(0), 0, CASE WHEN partitions = 1 THEN _add_partitions.checkpoint END, false
  FROM generate_series(0, partitions - 1) AS g (partition);
END
$$;

COMMENT ON FUNCTION _add_partitions(bigint, bigint, bigint) IS
$$Internal: make the partitions of a subscription, each with a token that nobody has.$$;
