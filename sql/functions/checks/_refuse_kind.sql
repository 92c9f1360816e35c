CREATE OR REPLACE FUNCTION _refuse_kind(
  kind text,
  categories text[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF _granted_names(kind) IS NULL THEN
    PERFORM _refuse_value('kind', 'must be read, write, consume, monitor or admin', to_jsonb(kind));
  ELSIF categories IS NOT NULL AND kind <> 'write'
    OR cardinality(categories) = 0
    OR array_ndims(categories) > 1
    OR array_position(categories, NULL) IS NOT NULL
    OR EXISTS (
      SELECT
      FROM unnest(_refuse_kind.categories) AS c (category)
      WHERE category(c.category) <> c.category COLLATE "C"
    )
  THEN
    PERFORM _refuse_value(
      'categories', 'must be names of categories, or NULL for all; only write has any',
      to_jsonb(categories)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_kind(text, text[]) IS
$$Internal: raise 22023 unless this is a kind of rights that can be granted for these categories.$$;
