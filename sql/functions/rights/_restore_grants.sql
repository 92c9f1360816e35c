CREATE OR REPLACE FUNCTION _restore_grants()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Only who still has them: a role that was dropped is not there, and one that was made anew under
  -- its name is another one.
  PERFORM _alter_rights(g.role, _granted_names(g.kind), true)
  FROM grants AS g
  JOIN pg_roles AS r ON r.rolname = g.role
  WHERE _holds_kind(r.oid, g.kind);
END
$$;

COMMENT ON FUNCTION _restore_grants() IS
$$Internal: grant the roles that were granted rights what has come to belong to them; for the end of
an upgrade.$$;
