CREATE OR REPLACE FUNCTION _tags_as_stored(
  tags jsonb
)
RETURNS text[]
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
  WHEN jsonb_typeof(_tags_as_stored.tags) = 'array' THEN (
    SELECT array_agg(d.tag ORDER BY d.tag COLLATE "C")
    FROM (
      SELECT DISTINCT t.tag COLLATE "C" AS tag
      FROM jsonb_array_elements_text(_tags_as_stored.tags) AS t (tag)
    ) AS d
  )
END;

COMMENT ON FUNCTION _tags_as_stored(jsonb) IS
$$Internal: the tags of a JSON array as a message has them: each once, in the order of their bytes;
NULL if there are none.$$;
