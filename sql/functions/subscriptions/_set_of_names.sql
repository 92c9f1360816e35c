CREATE OR REPLACE FUNCTION _set_of_names(
  argument text,
  names text[]
)
RETURNS text[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF cardinality(names) = 0
    OR array_ndims(names) > 1  -- array_position has an error of its own for them
    OR array_position(names, NULL) IS NOT NULL
  THEN
    PERFORM _refuse_value(argument, 'must be names, or NULL for all', to_jsonb(names));
  ELSIF argument = 'types' AND '' COLLATE "C" = ANY (names) THEN
    PERFORM _refuse_value(argument, 'must be names of 1 byte or more', to_jsonb(names));
  ELSIF argument IN ('tags', 'tags_filter')
    AND (
      cardinality(names) > 32
      OR EXISTS (
        SELECT
        FROM unnest(_set_of_names.names) AS u (name)
        WHERE octet_length(u.name) NOT BETWEEN 1 AND 255
      )
    )
  THEN
    PERFORM _refuse_value(argument, 'must be at most 32 names of 1 to 255 bytes', to_jsonb(names));
  ELSIF argument = 'categories'
    AND EXISTS (
      SELECT
      FROM unnest(_set_of_names.names) AS u (name)
      WHERE category(u.name) <> u.name COLLATE "C"
    )
  THEN
    PERFORM _refuse_value(
      argument, 'must be names of categories: the parts of streams'' names before the first -',
      to_jsonb(names)
    );
  END IF;
  -- A set: its order means nothing. Of nothing: NULL.
  RETURN (
    SELECT array_agg(DISTINCT u.name COLLATE "C") FROM unnest(_set_of_names.names) AS u (name)
  );
END
$$;

COMMENT ON FUNCTION _set_of_names(text, text[]) IS
$$Internal: return the names of a filter without repetition, in order. Raises 22023 for none,
for a NULL among them, and for names that no type, no category, or no message's tags can have.$$;
