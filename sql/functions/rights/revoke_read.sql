CREATE OR REPLACE FUNCTION revoke_read(
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
  PERFORM refuse_stranger('revoke_read');
  RETURN revoke_kind(role, 'read');
END
$$;

COMMENT ON FUNCTION revoke_read(text) IS
$$Take from a role what grant_read gave it, but for what its other rights give it too; false if
that was not granted. For the store's owner only. Written to the audit.$$;
