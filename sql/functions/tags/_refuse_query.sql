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
  bad record;
BEGIN
  IF (jsonb_typeof(query) = 'array' AND jsonb_array_length(query) BETWEEN 1 AND 100) IS NOT TRUE
  THEN
    PERFORM _refuse_value(argument, 'must be a JSON array of 1 to 100 items', query);
  END IF;
  SELECT i.n - 1 AS index, r.reason INTO bad
  FROM jsonb_array_elements(query) WITH ORDINALITY AS i (item, n)
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN jsonb_typeof(i.item) <> 'object' OR i.item - ARRAY['types', 'tags'] <> '{}'
        THEN 'must have objects with "tags" and, if wanted, "types"'
      WHEN (NOT _tags_problem(i.item -> 'tags') AND i.item -> 'tags' <> '[]') IS NOT TRUE
        THEN 'must have items with 1 to 32 "tags" of 1 to 255 bytes'
      WHEN i.item ? 'types' AND (
        jsonb_typeof(i.item -> 'types') <> 'array'
        OR i.item -> 'types' = '[]'
        OR jsonb_path_exists(i.item -> 'types', '$[*] ? (@.type() != "string")')
      ) THEN 'must have "types" that are an array of names'
    END AS reason
  ) AS r
  WHERE r.reason IS NOT NULL
  ORDER BY i.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(argument, bad.reason, jsonb_build_object('index', bad.index));
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_query(text, jsonb) IS
$$Internal: raise 22023 unless a value is a query: an array of 1 to 100 items {"tags", "types"?}.$$;
