CREATE OR REPLACE FUNCTION _tags_problem(
  tags jsonb
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF (jsonb_typeof(tags) = 'array') IS NOT TRUE OR jsonb_array_length(tags) > 32 THEN
    RETURN true;
  END IF;
  FOR i IN 0..jsonb_array_length(tags) - 1 LOOP
    IF jsonb_typeof(tags -> i) <> 'string' OR octet_length(tags ->> i) NOT BETWEEN 1 AND 255 THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END
$$;

COMMENT ON FUNCTION _tags_problem(jsonb) IS
$$Internal: tell whether a JSON value is not an array of at most 32 names of 1 to 255 bytes.$$;
