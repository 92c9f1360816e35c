CREATE OR REPLACE FUNCTION subscription_has(
  source subscriptions,
  partition bigint,
  after_position bigint,
  before_position bigint
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  share bigint := CASE WHEN source.partitions > 1 THEN source.partitions END;
BEGIN
  IF source.categories IS NULL THEN
    RETURN EXISTS (
      SELECT
      FROM range_of_all(
        after_position, before_position - 1, 1, source.types, source.stream_pattern, partition,
        share, source.partition_by
      ) AS r
    );
  END IF;
  RETURN EXISTS (
    SELECT
    FROM range_of_categories(
      source.categories, after_position, before_position - 1, 1, source.types,
      source.stream_pattern, partition, share, source.partition_by
    ) AS r
  );
END
$$;

COMMENT ON FUNCTION subscription_has(subscriptions, bigint, bigint, bigint) IS
$$Internal: whether a partition has a message between two positions, both exclusive.$$;
