CREATE OR REPLACE FUNCTION _refuse_tags(
  tags jsonb[]
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
  SELECT u.n - 1 AS index, u.tags INTO bad
  FROM unnest(_refuse_tags.tags) WITH ORDINALITY AS u (tags, n)
  WHERE u.tags <> 'null' AND _tags_problem(u.tags)
  ORDER BY u.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      'tags', 'must be at most 32 names of 1 to 255 bytes',
      jsonb_build_object('index', bad.index, 'tags', bad.tags)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_tags(jsonb[]) IS
$$Internal: raise 22023 for tags that no message can have.$$;
