CREATE OR REPLACE FUNCTION _first_match(
  query jsonb,
  after_position bigint,
  known_positions bigint[]
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT min(f.global_position)
    FROM jsonb_array_elements(query) AS i (item)
    -- The first one of each item, not all.
    CROSS JOIN LATERAL (
      SELECT m.global_position
      FROM _matches(jsonb_build_array(i.item), after_position, known_positions) AS m
      LIMIT 1
    ) AS f
  );
END
$$;

COMMENT ON FUNCTION _first_match(jsonb, bigint, bigint[]) IS
$$Internal: the lowest position of the messages after a position, except those with known positions,
that match a query; NULL if there is none. Called with the settings of write_message.$$;
