CREATE OR REPLACE FUNCTION _refuse_query(
  argument text,
  query jsonb
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  item jsonb;
BEGIN
  IF (jsonb_typeof(query) = 'array' AND jsonb_array_length(query) BETWEEN 1 AND 100) IS NOT TRUE
  THEN
    PERFORM _refuse_value(argument, 'must be a JSON array of 1 to 100 items', query);
  END IF;
  -- A loop of simple expressions takes less time than a statement.
  FOR i IN 0..jsonb_array_length(query) - 1 LOOP
    item := query -> i;
    -- The usual case: one tag, and no types.
    CONTINUE WHEN octet_length(item #>> '{tags,0}') BETWEEN 1 AND 255
      AND item = jsonb_build_object('tags', jsonb_build_array(item #>> '{tags,0}'));
    IF jsonb_typeof(item) <> 'object' OR item - 'types' - 'tags' <> '{}' THEN
      PERFORM _refuse_argument(
        argument, 'must have objects with "tags" and, if wanted, "types"',
        jsonb_build_object('index', i)
      );
    ELSIF _tags_problem(item -> 'tags') OR item -> 'tags' = '[]' THEN
      PERFORM _refuse_argument(
        argument, 'must have items with 1 to 32 "tags" of 1 to 255 bytes',
        jsonb_build_object('index', i)
      );
    ELSIF item ? 'types' AND (
      jsonb_typeof(item -> 'types') <> 'array'
      OR jsonb_array_length(item -> 'types') NOT BETWEEN 1 AND 1000
      OR jsonb_path_exists(item -> 'types', 'strict $[*] ? (@.type() != "string")')
    ) THEN
      PERFORM _refuse_argument(
        argument, 'must have "types" that are an array of 1 to 1000 names',
        jsonb_build_object('index', i)
      );
    END IF;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _refuse_query(text, jsonb) IS
$$Internal: raise 22023 unless a value is a query: an array of 1 to 100 items {"tags", "types"?}.$$;
