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
REVOKE ALL ON FUNCTION
  message_store._category_range,
  message_store._reader_is_allowed,
  message_store._refuse_condition,
  message_store._refuse_group,
  message_store._refuse_write,
  message_store._store,
  message_store.acquire_lock,
  message_store.cardinal_id,
  message_store.category,
  message_store.get_category_messages,
  message_store.get_last_stream_message,
  message_store.get_stream_messages,
  message_store.hash_64,
  message_store.id,
  message_store.is_category,
  message_store.message_store_version,
  message_store.stream_version,
  message_store.write_message
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  message_store._category_range,
  message_store._reader_is_allowed,
  message_store._refuse_condition,
  message_store._refuse_group,
  message_store._refuse_write,
  message_store._store,
  message_store.acquire_lock,
  message_store.cardinal_id,
  message_store.category,
  message_store.get_category_messages,
  message_store.get_last_stream_message,
  message_store.get_stream_messages,
  message_store.hash_64,
  message_store.id,
  message_store.is_category,
  message_store.message_store_version,
  message_store.stream_version,
  message_store.write_message
TO message_store;
GRANT SELECT ON
  message_store._category_messages,
  message_store.messages,
  message_store.category_type_summary,
  message_store.stream_summary,
  message_store.stream_type_summary,
  message_store.type_category_summary,
  message_store.type_stream_summary,
  message_store.type_summary
TO message_store;
