CREATE OR REPLACE FUNCTION revoke_monitor(
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
  PERFORM refuse_stranger('revoke_monitor');
  RETURN revoke_kind(role, 'monitor');
END
$$;

COMMENT ON FUNCTION revoke_monitor(text) IS
$$Take from a role what grant_monitor gave it, but for what its other rights give it too; false if
that was not granted. For the store's owner only. Written to the audit.$$;
