-- Removes Message DB's interface, and takes from the role message_store its rights to read and to
-- write the store. The store and its messages stay, and so does the role.
--   psql -f sql/message_db/remove.sql
-- Run it as the owner of the store. It drops nothing that it has not made: an object of yours that
-- is in the schema, or uses something of it, is an error, and nothing is changed.
\set ON_ERROR_STOP on
\set QUIET on
BEGIN;
SET LOCAL client_min_messages = warning;
-- For other installations; below, for a client's transaction that holds a view. A removal that
-- waits keeps all other clients waiting.
SET LOCAL lock_timeout = '60s';
DO $$
DECLARE
  store text := (
    SELECT (
      parse_ident(left(substr(s.setting, length('search_path=') + 1), -length(', pg_temp')))
    )[1]
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN unnest(p.proconfig) AS s (setting)
    WHERE n.nspname = 'message_store' AND p.proname = '_store'
  );
BEGIN
  IF store IS NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_schema_name',
      MESSAGE = 'there is no interface of Message DB in this database',
      HINT = 'Nothing was changed. A schema message_store of another origin stays as it is.';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('pgstore:install:' || store COLLATE "C", 0));
  PERFORM pg_advisory_xact_lock(hashtextextended('pgstore:install:message_store', 0));
  -- The store may be gone. Dynamic, because its name is not known here.
  IF EXISTS (
    SELECT FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = store AND p.proname = 'revoke_access'
  ) AND EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = 'message_store') THEN
    EXECUTE format('SELECT %I.revoke_access(''message_store'', ''read'')', store);
    EXECUTE format('SELECT %I.revoke_access(''message_store'', ''write'')', store);
  END IF;
END
$$;
SET LOCAL lock_timeout = '3s';
-- IF EXISTS: views go with a store that is dropped with CASCADE.
DROP VIEW IF EXISTS
  message_store.category_type_summary,
  message_store.stream_summary,
  message_store.stream_type_summary,
  message_store.type_category_summary,
  message_store.type_stream_summary,
  message_store.type_summary,
  message_store.messages,
  message_store._category_messages;
DROP FUNCTION IF EXISTS
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
  message_store.write_message;
DROP TYPE message_store.message;
DROP SCHEMA message_store;
COMMIT;
