CREATE OR REPLACE FUNCTION _subscription_has(
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
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
BEGIN
  IF source.partitions > 1 THEN
    RETURN EXISTS (
      SELECT
      FROM subscription_work AS w
      CROSS JOIN LATERAL unnest(w.positions) AS u (global_position)
      WHERE w.subscription_id = source.subscription_id
        AND w.partition = _subscription_has.partition
        AND w.last_position > after_position
        AND u.global_position > after_position
        AND u.global_position < before_position
        -- As fetch_batch, which leaves out what was deleted, or redacted, since it was listed. Not
        -- EXISTS: for a join the planner may walk along all messages (tests/plans).
        AND (
          SELECT (source.metadata IS NULL OR m.metadata @> source.metadata)
            AND (source.tags IS NULL OR m.tags @> source.tags)
          FROM _message_at(u.global_position) AS m
        )
    );
  ELSIF source.tags IS NOT NULL THEN
    RETURN EXISTS (
      SELECT
      FROM _range_of_tags(
        _rarest_tag(source.tags, after_position), source.tags, source.categories, after_position,
        before_position - 1, 1, source.types, source.stream_pattern, NULL, NULL,
        source.partition_by, source.metadata
      ) AS r
    );
  ELSIF source.categories IS NULL THEN
    RETURN EXISTS (
      SELECT
      FROM _range_of_all(
        after_position, before_position - 1, 1, source.types, source.stream_pattern, NULL, NULL,
        source.partition_by, source.metadata
      ) AS r
    );
  END IF;
  RETURN EXISTS (
    SELECT
    FROM _range_of_several(
      source.categories, after_position, before_position - 1, 1, source.types,
      source.stream_pattern, NULL, NULL, source.partition_by, source.metadata
    ) AS r
  );
END
$$;

COMMENT ON FUNCTION _subscription_has(subscriptions, bigint, bigint, bigint) IS
$$Internal: whether a partition has a message between two positions, both exclusive.$$;
