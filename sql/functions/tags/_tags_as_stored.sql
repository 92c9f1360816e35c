CREATE OR REPLACE FUNCTION _tags_as_stored(
  tags jsonb
)
RETURNS text[]
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT array_agg(DISTINCT t.tag COLLATE "C" ORDER BY t.tag COLLATE "C")
    FROM jsonb_array_elements_text(nullif(tags, 'null')) AS t (tag)
  );
END
$$;

COMMENT ON FUNCTION _tags_as_stored(jsonb) IS
$$Internal: the tags of a JSON array as a message has them: each once, in the order of their bytes;
NULL if there are none.$$;
