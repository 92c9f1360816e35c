CREATE OR REPLACE FUNCTION _kept_errors()
RETURNS TABLE (
  subscription_id bigint,
  partition bigint,
  global_position bigint
)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT p.subscription_id, p.partition, p.failed_position
  FROM subscription_partitions AS p
  WHERE p.error IS NOT NULL
  UNION ALL
  SELECT k.subscription_id, k.partition, k.global_position
  FROM parked_messages AS k
  WHERE k.error IS NOT NULL;
END;

COMMENT ON FUNCTION _kept_errors() IS
$$Internal: return the messages of which an error of a handler is kept, which may quote them.
Inlined into its callers, hence without a search_path of its own.$$;
