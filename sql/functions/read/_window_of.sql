CREATE OR REPLACE FUNCTION _window_of(
  categories text[],
  after_position bigint,
  safe bigint,
  window_size bigint,
  tag text
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
AS $$
#variable_conflict use_column
DECLARE
  to_position bigint;
BEGIN
  IF safe - after_position <= window_size THEN
    RETURN safe;
  ELSIF tag IS NOT NULL THEN
    SELECT t.global_position INTO to_position
    FROM message_tags AS t
    -- Rows are compared as in _range_of_category.
    WHERE (t.tag_key, t.global_position) > (_tag_key(_window_of.tag), after_position)
      AND (t.tag_key, t.global_position) <= (_tag_key(_window_of.tag), safe)
    ORDER BY t.tag_key, t.global_position
    OFFSET window_size - 1
    LIMIT 1;
  ELSIF _window_of.categories IS NULL THEN
    SELECT m.global_position INTO to_position
    FROM messages AS m
    WHERE m.global_position > after_position AND m.global_position <= safe
    ORDER BY m.global_position
    OFFSET window_size - 1
    LIMIT 1;
  ELSE
    -- The window of the fullest category; the others' rows in it are fewer.
    SELECT min(o.global_position) INTO to_position
    FROM unnest(_window_of.categories) AS c (category)
    CROSS JOIN LATERAL (
      SELECT m.global_position
      FROM messages AS m
      -- Rows are compared as in _range_of_category.
      WHERE (m.category_key, m.global_position) > (_category_key(c.category), after_position)
        AND (m.category_key, m.global_position) <= (_category_key(c.category), safe)
      ORDER BY m.category_key, m.global_position
      OFFSET window_size - 1
      LIMIT 1
    ) AS o;
  END IF;
  RETURN coalesce(to_position, safe);
END
$$;

COMMENT ON FUNCTION _window_of(text[], bigint, bigint, bigint, text) IS
$$Internal: return the global position up to which there are at most so many messages of a tag,
if one is given, or of these categories, or of all, to look at, so that no look takes long.$$;
