CREATE OR REPLACE FUNCTION _long_as_text(
  value jsonb
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  length bigint;
BEGIN
  length := octet_length(value::text)::bigint;
  -- A copy, because the size of a compressed value tells nothing.
  RETURN length > 65536
    AND length > least(268435456, 32 * pg_column_size(jsonb_path_query_first(value, '$'))::bigint);
EXCEPTION
  WHEN program_limit_exceeded THEN
    RETURN true;  -- longer than any text can be
END
$$;

COMMENT ON FUNCTION _long_as_text(jsonb) IS
$$Internal: whether the text of a value is longer than 256 MB, or longer than 64 KB and than 32
times the value.$$;
