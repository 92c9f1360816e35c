CREATE OR REPLACE FUNCTION _rarest_tag(
  tags text[],
  after_position bigint
)
RETURNS text
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF cardinality(tags) = 1 THEN
    RETURN tags[1];
  END IF;
  RETURN (
    SELECT u.tag
    FROM unnest(tags) AS u (tag)
    ORDER BY (
      SELECT t.global_position
      FROM message_tags AS t
      -- Rows are compared as in _range_of_category.
      WHERE (t.tag_key, t.global_position) > (_tag_key(u.tag), after_position)
        AND (t.tag_key, t.global_position) <= (_tag_key(u.tag), 9223372036854775807)
      ORDER BY t.tag_key, t.global_position
      OFFSET 99
      LIMIT 1
    ) DESC NULLS FIRST
    LIMIT 1
  );
END
$$;

COMMENT ON FUNCTION _rarest_tag(text[], bigint) IS
$$Internal: return the tag whose next hundred messages after a position reach farthest: the one to
look along for messages that have all these tags.$$;
