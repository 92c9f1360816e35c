CREATE OR REPLACE FUNCTION _count_kept(
  policy retention_policies,
  safe bigint
)
RETURNS bigint
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
AS $$
#variable_conflict use_column
BEGIN
  IF policy.max_count IS NULL THEN
    RETURN NULL;
  ELSIF EXISTS (
    -- Rows are compared as in _range_of_category.
    SELECT
    FROM messages AS m
    WHERE (m.category_key, m.global_position)
        > (_category_key(policy.category), policy.reached_position)
      AND (m.category_key, m.global_position)
        <= (_category_key(policy.category), policy.keep_after)
  ) THEN
    -- Some messages that were found to be too many are still there: no need to count again.
    RETURN policy.keep_after;
  END IF;
  RETURN (
    SELECT m.global_position
    FROM messages AS m
    CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
    WHERE (m.category_key, m.global_position)
        > (_category_key(policy.category), policy.reached_position)
      AND (m.category_key, m.global_position) <= (_category_key(policy.category), safe)
      AND s.category = policy.category
    ORDER BY m.category_key DESC, m.global_position DESC
    OFFSET policy.max_count
    LIMIT 1
  );
END
$$;

COMMENT ON FUNCTION _count_kept(retention_policies, bigint) IS
$$Internal: the global position that the newest max_count messages of a category are after; NULL if
there are not more. It counts them, so its result is kept in the policy until all before it are
gone.$$;
