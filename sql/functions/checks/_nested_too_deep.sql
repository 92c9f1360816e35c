CREATE OR REPLACE FUNCTION _nested_too_deep(
  value jsonb
)
RETURNS boolean
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN (
  -- Each array or object in another one takes 8 bytes or more: a small value is not looked through.
  -- The size of a compressed one tells nothing.
  (pg_column_size(value) > 800 OR pg_column_compression(value) IS NOT NULL)
  AND jsonb_path_exists(value, 'strict $.**{100} ? (@.type() == "array" || @.type() == "object")')
);

COMMENT ON FUNCTION _nested_too_deep(jsonb) IS
$$Internal: whether a value has more than 100 arrays and objects in one another. Readers of other
languages, and pydantic, refuse what is nested deeper than some hundred.$$;
