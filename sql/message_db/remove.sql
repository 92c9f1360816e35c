-- Removes Message DB's interface, and takes from the role message_store its rights to read and to
-- write the store. The store and its messages stay, and so does the role.
--   psql -f sql/message_db/remove.sql
-- Run it as the owner of the store. It drops nothing that it has not made: an object of yours that
-- is in the schema, or uses something of it, is an error, and nothing is changed.
\set ON_ERROR_STOP on
\set QUIET on
-- READ COMMITTED, so that the second look sees what happened during the wait.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL client_min_messages = warning;
-- For other installations; below, for a client's transaction that holds a view. A removal that
-- waits keeps all other clients waiting.
SET LOCAL lock_timeout = '60s';
DO $$
DECLARE
  store text;
  locked text;
BEGIN
  -- Once to know the store's key, and once with it: meanwhile the interface may have been removed,
  -- and installed over another store, whose key this transaction does not have.
  FOR look IN 1..2 LOOP
    store := (
      SELECT (
        parse_ident(left(substr(s.setting, length('search_path=') + 1), -length(', pg_temp')))
      )[1]
      FROM pg_proc AS p
      JOIN pg_namespace AS n ON n.oid = p.pronamespace
      CROSS JOIN unnest(p.proconfig) AS s (setting)
      WHERE n.nspname = 'message_store' AND p.proname = '_store'
    );
    IF store IS NULL THEN
      RAISE EXCEPTION USING
        ERRCODE = 'invalid_schema_name',
        MESSAGE = 'there is no interface of Message DB in this database',
        HINT = 'Nothing was changed. A schema message_store of another origin stays as it is.';
    ELSIF store <> locked COLLATE "C" THEN
      RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('Message DB''s interface is over store %I, not over %I', store, locked),
        DETAIL = json_build_object('store', locked, 'over', store)::text,
        HINT = 'Nothing was changed. Another session has moved it.';
    END IF;
    -- As the installer's, in its order.
    PERFORM pg_advisory_xact_lock(hashtextextended('pgstore:install:' || store COLLATE "C", 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('pgstore:install:message_store', 0));
    locked := store;
  END LOOP;
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
\ir drop_objects.sql
COMMIT;
