CREATE OR REPLACE FUNCTION _tags_problem(
  tags jsonb
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
  WHEN jsonb_typeof(_tags_problem.tags) = 'array' THEN
    jsonb_array_length(_tags_problem.tags) > 32
    OR EXISTS (
      SELECT
      FROM jsonb_array_elements(_tags_problem.tags) AS t (tag)
      WHERE jsonb_typeof(t.tag) <> 'string' OR octet_length(t.tag #>> '{}') NOT BETWEEN 1 AND 255
    )
  ELSE true
END;

COMMENT ON FUNCTION _tags_problem(jsonb) IS
$$Internal: tell whether a JSON value is not an array of at most 32 names of 1 to 255 bytes.$$;
