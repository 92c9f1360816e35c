CREATE OR REPLACE FUNCTION revoke_write(
  role text
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM refuse_stranger('revoke_write');
  RETURN revoke_kind(role, 'write');
END
$$;

COMMENT ON FUNCTION revoke_write(text) IS
$$Take from a role what grant_write gave it, but for what its other rights give it too; false if
that was not granted. For the store's owner only. Written to the audit.$$;
