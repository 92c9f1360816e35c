-- Rights on the interface. They let the role message_store call, and nothing more: the store's own
-- grants decide what a call may read and write.
DO $$
DECLARE
  given record;
BEGIN
  -- At the first installation only: later, these may be an administrator's decisions.
  IF current_setting('pgstore.interface_is_new')::boolean THEN
    -- From the installer's default privileges.
    FOR given IN
      SELECT DISTINCT o.kind, o.name, a.grantee::regrole AS role
      FROM pg_namespace AS n
      CROSS JOIN LATERAL (
        SELECT 'SCHEMA' AS kind, format('%I', n.nspname) AS name, n.nspacl AS acl
        UNION ALL
        SELECT 'TABLE', format('%I.%I', n.nspname, c.relname), c.relacl
        FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relkind = 'v'
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text, p.proacl
        FROM pg_proc AS p WHERE p.pronamespace = n.oid
      ) AS o
      CROSS JOIN aclexplode(o.acl) AS a
      WHERE n.nspname = 'message_store' AND a.grantee NOT IN (0, n.nspowner)
    LOOP
      -- Dynamic, because REVOKE takes no parameters.
      EXECUTE format('REVOKE ALL ON %s %s FROM %s', given.kind, given.name, given.role);
    END LOOP;
  END IF;
  IF current_user <> 'message_store' AND (
    current_setting('pgstore.interface_is_new')::boolean
    OR current_setting('pgstore.role_is_new')::boolean
  ) THEN
    PERFORM grant_access('message_store', 'read');
    PERFORM grant_access('message_store', 'write');
  END IF;
END
$$;

REVOKE ALL ON SCHEMA message_store FROM PUBLIC;
GRANT USAGE ON SCHEMA message_store TO message_store;
