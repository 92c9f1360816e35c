CREATE OR REPLACE FUNCTION _matches(
  query jsonb,
  after_position bigint,
  known_positions bigint[]
)
RETURNS TABLE (
  global_position bigint
)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT f.global_position
  FROM jsonb_array_elements(_matches.query) AS i (item)
  CROSS JOIN LATERAL (
    SELECT t.global_position
    FROM message_tags AS t
    CROSS JOIN LATERAL _message_at(t.global_position) AS m
    -- Rows are compared as in _range_of_category.
    WHERE (t.tag_key, t.global_position)
        > (_tag_key(i.item -> 'tags' ->> 0), _matches.after_position)
      AND (t.tag_key, t.global_position)
        <= (_tag_key(i.item -> 'tags' ->> 0), 9223372036854775807)
      -- Not = ANY: that compares each message with each known position, one after the other.
      AND t.global_position NOT IN (SELECT unnest(_matches.known_positions))
      AND to_jsonb(m.tags) @> (i.item -> 'tags')
      AND (NOT i.item ? 'types' OR (i.item -> 'types') ? m.type)
    ORDER BY t.tag_key, t.global_position
    OFFSET 0
  ) AS f;
END;

COMMENT ON FUNCTION _matches(jsonb, bigint, bigint[]) IS
$$Internal: the messages after a position, except those with known positions, that match a query,
once for each item that they match. Inlined into its callers, which have the planner walk along the
index, hence without settings of its own.$$;
