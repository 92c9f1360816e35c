CREATE OR REPLACE FUNCTION grant_admin(
  role text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM refuse_stranger('grant_admin');
  PERFORM grant_kind(role, 'admin', NULL);
END
$$;

COMMENT ON FUNCTION grant_admin(text) IS
$$Let a role read, write to all categories, consume, monitor, delete and redact messages, empty the
store, export, import and verify; not grant rights, nor upgrade. Upgrades grant it what they add.
For the store's owner only. Written to the audit. Raises 22023 if there is no such role.$$;
