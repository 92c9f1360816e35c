CREATE OR REPLACE FUNCTION _refuse_tags(
  tags jsonb[],
  condition jsonb,
  decided_upon text
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
  IF condition IS NOT NULL THEN
    PERFORM _refuse_query('condition', condition);
    PERFORM _refuse_isolation();
    IF (decided_upon ~ '^[0-9]{1,18}[+]([0-9]{1,18}(,[0-9]{1,18})*)?$') IS NOT TRUE THEN
      PERFORM _refuse_value(
        'decided_upon', 'must be what read_tagged answered', to_jsonb(decided_upon)
      );
    ELSIF split_part(decided_upon, '+', 1)::bigint > _drawn_position() THEN
      PERFORM _refuse_position(split_part(decided_upon, '+', 1)::bigint);
    END IF;
  ELSIF decided_upon IS NOT NULL THEN
    PERFORM _refuse_argument('condition', 'must be given with decided_upon');
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_tags(jsonb[], jsonb, text) IS
$$Internal: raise 22023 for tags of a message, a condition or a token that is wrong; MS004 for a
condition unless under READ COMMITTED; MS006 if the decision is from another history.$$;
