CREATE OR REPLACE FUNCTION grant_monitor(
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
  PERFORM refuse_stranger('grant_monitor');
  PERFORM grant_kind(role, 'monitor', NULL);
END
$$;

COMMENT ON FUNCTION grant_monitor(text) IS
$$Let a role watch the store without seeing what messages hold: statistics, health, subscriptions,
writers in flight. To see what other roles' sessions do it needs pg_read_all_stats too. Upgrades
grant it what they add. For the store's owner only. Written to the audit. Raises 22023 if there is
no such role.$$;
