CREATE OR REPLACE FUNCTION _granted_objects(
  names text[]
)
RETURNS TABLE (
  kind text,
  name text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'function', p.proname::text
  FROM pg_proc AS p
  WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.proname = ANY (names)
  UNION ALL
  SELECT 'view', c.relname::text
  FROM pg_class AS c
  WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
    AND c.relkind = 'v'
    AND c.relname = ANY (names);
END
$$;

COMMENT ON FUNCTION _granted_objects(text[]) IS
$$Internal: which of these names are functions and which are views.$$;
