CREATE OR REPLACE FUNCTION _reached_positions(
  subscription_id bigint,
  swept bigint
)
RETURNS TABLE (
  partition bigint,
  reached bigint
)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    p.partition,
    CASE
      WHEN p.swept_position IS NOT NULL OR h.head > p.checkpoint THEN p.checkpoint
      ELSE greatest(p.checkpoint, _reached_positions.swept)
    END
  FROM subscription_partitions AS p
  LEFT JOIN subscription_heads AS h USING (subscription_id, partition)
  WHERE p.subscription_id = _reached_positions.subscription_id;
END;

COMMENT ON FUNCTION _reached_positions(bigint, bigint) IS
$$Internal: return the position up to which each partition has handled everything: its checkpoint,
or the swept position if nothing waits in it.$$;
