CREATE OR REPLACE FUNCTION revoke_consume(
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
  PERFORM refuse_stranger('revoke_consume');
  RETURN revoke_kind(role, 'consume');
END
$$;

COMMENT ON FUNCTION revoke_consume(text) IS
$$Take from a role what grant_consume gave it, but for what its other rights give it too; false if
that was not granted. For the store's owner only. Written to the audit.$$;
