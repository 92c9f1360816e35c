CREATE OR REPLACE FUNCTION _match_since(
  decided_upon text,
  condition jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
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
  RETURN (
    SELECT min(f.global_position)
    FROM _matches(
      condition,
      split_part(decided_upon, '+', 1)::bigint,
      string_to_array(split_part(decided_upon, '+', 2), ',')::bigint[]
    ) AS f
  );
END
$$;

COMMENT ON FUNCTION _match_since(text, jsonb) IS
$$Internal: the position of the first message that matches a condition and that the decision did not
know, or NULL. The caller holds the locks of the condition's tags.$$;
