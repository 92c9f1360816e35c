CREATE OR REPLACE FUNCTION list_grants()
RETURNS TABLE (
  role text,
  kind text,
  categories text[],
  role_exists boolean
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('list_grants');
  RETURN QUERY
  SELECT
    g.role, g.kind, g.categories,
    EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = g.role AND _holds_kind(r.oid, g.kind))
  FROM grants AS g
  ORDER BY g.role, g.kind;
END
$$;

COMMENT ON FUNCTION list_grants() IS
$$Which roles were granted which rights: read, write (with its categories, NULL for all), consume,
monitor or admin. role_exists is false if the role is gone, or a new one has its name.$$;
