CREATE OR REPLACE FUNCTION list_subscriptions()
RETURNS TABLE (
  subscription text,
  categories text[],
  types text[],
  stream_pattern text,
  partitions bigint,
  next_partitions bigint,
  partition_by text,
  on_failure text,
  max_attempts bigint,
  retry_delay interval,
  paused boolean,
  created_at timestamptz,
  metadata jsonb,
  tags text[]
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
  SELECT
    s.subscription, s.categories, s.types, s.stream_pattern, s.partitions, s.next_partitions,
    s.partition_by, s.on_failure, s.max_attempts, s.retry_delay, s.paused, s.created_at,
    s.metadata, s.tags
  FROM subscriptions AS s
  WHERE _is_open()
  ORDER BY s.subscription;
END
$$;

COMMENT ON FUNCTION list_subscriptions() IS
$$Return the subscriptions with their filters; list_partitions has their progress.$$;
