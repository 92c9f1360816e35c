CREATE OR REPLACE FUNCTION grant_consume(
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
  PERFORM refuse_stranger('grant_consume');
  PERFORM grant_kind(role, 'consume', NULL);
END
$$;

COMMENT ON FUNCTION grant_consume(text) IS
$$Let a role work on subscriptions: create and steer them, claim partitions and read what they hand
out. Handlers that write need grant_write too. Upgrades grant it what they add. For the store's
owner only. Written to the audit. Raises 22023 if there is no such role.$$;
