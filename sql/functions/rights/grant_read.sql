CREATE OR REPLACE FUNCTION grant_read(
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
  PERFORM refuse_stranger('grant_read');
  PERFORM grant_kind(role, 'read', NULL);
END
$$;

COMMENT ON FUNCTION grant_read(text) IS
$$Let a role read messages: streams, categories and everything, and wait for new ones. Upgrades
grant it what they add. For the store's owner only. Written to the audit. Raises 22023 if there is
no such role.$$;
