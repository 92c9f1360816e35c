CREATE OR REPLACE FUNCTION list_stuck(
  leases bigint DEFAULT 5
)
RETURNS TABLE (
  subscription text,
  partition bigint,
  checkpoint bigint,
  leases_since bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.subscription, p.partition, p.checkpoint, p.leases
  FROM subscription_partitions AS p
  JOIN subscriptions AS s USING (subscription_id)
  LEFT JOIN subscription_heads AS h USING (subscription_id, partition)
  WHERE _is_open()
    AND p.leases >= list_stuck.leases
    AND _may_wait(p.checkpoint, p.swept_position, h.head)
    AND NOT p.stopped
    AND NOT s.paused
  ORDER BY s.subscription, p.partition;
END
$$;

COMMENT ON FUNCTION list_stuck(bigint) IS
$$The partitions in which messages wait, and whose checkpoint has not moved over so many leases:
their workers end, lose their connections, or fail, at the same message. Not those that are stopped
or paused.$$;
