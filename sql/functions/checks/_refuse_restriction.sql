CREATE OR REPLACE FUNCTION _refuse_restriction(
  role text
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  others text[];
BEGIN
  -- From the first restricted role on, only what grant_access has granted counts: without this, a
  -- role that writes with rights of another origin would be locked out unasked.
  SELECT array_agg(DISTINCT r.rolname::text) INTO others
  FROM pg_proc AS p
  CROSS JOIN aclexplode(p.proacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
  WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
    AND p.proname IN ('write_message', 'write_messages', 'write_arrays', 'synchronize_stream')
    AND a.grantee <> p.proowner
    AND r.rolname <> _refuse_restriction.role
    AND NOT EXISTS (
      SELECT FROM grants AS g WHERE g.role = r.rolname AND g.kind IN ('write', 'admin')
    );
  IF others IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'other roles may write by rights that grant_access does not know',
      DETAIL = json_build_object('roles', others)::text,
      HINT = 'Grant each of them write first, or revoke their rights: once a role may write to '
        'some categories only, no other role writes without a grant of write or admin.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_restriction(text) IS
$$Internal: raise 55000 if to restrict this role would lock out others, which write by rights of
another origin.$$;
