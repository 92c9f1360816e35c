CREATE OR REPLACE FUNCTION message_store._refuse_group(
  member bigint,
  size bigint
)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  problem text := CASE
    WHEN (member IS NULL) <> (size IS NULL) THEN 'Consumer group member and size must be specified'
    WHEN size < 1 THEN 'Consumer group size must not be less than 1'
    WHEN member < 0 THEN 'Consumer group member must not be less than 0'
    WHEN member >= size THEN 'Consumer group member must be less than the group size'
  END;
BEGIN
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'raise_exception',
      MESSAGE = format(
        '%s (Consumer Group Member: %s, Consumer Group Size: %s)',
        problem, coalesce(member::text, '<NULL>'), coalesce(size::text, '<NULL>')
      );
  END IF;
END
$$;

COMMENT ON FUNCTION message_store._refuse_group(bigint, bigint) IS
$$Internal: raise P0001 if these are not a consumer group's member and size, and not both NULL.$$;
