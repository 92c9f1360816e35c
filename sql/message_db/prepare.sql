-- Begins the installation of Message DB's interface, for psql and Python alike. The store is
-- installed. Expects a transaction-local setting: pgstore.schema, the store's name. Refuses and
-- changes nothing if the schema message_store holds something else, or is over another store.
SET LOCAL lock_timeout = '60s';
SET LOCAL client_encoding = 'UTF8';

DO $$
DECLARE
  store text := current_setting('pgstore.schema');
  present record;
  over text;
BEGIN
  -- The installer's keys of the store, which grant_access takes too, and of the schema.
  PERFORM pg_advisory_xact_lock(hashtextextended('pgstore:install:' || store COLLATE "C", 0));
  PERFORM pg_advisory_xact_lock(hashtextextended('pgstore:install:message_store', 0));
  PERFORM set_config('search_path', quote_ident(store) || ', pg_temp', true);

  SELECT
    n.nspowner = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user) AS is_ours,
    EXISTS (
      SELECT FROM pg_proc AS p
      WHERE p.pronamespace = n.oid AND p.proname = '_store' AND p.proowner = n.nspowner
    ) AS is_interface,
    NOT EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid)
      AND NOT EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = n.oid)
      AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.typnamespace = n.oid) AS is_empty
  INTO present
  FROM pg_namespace AS n
  WHERE n.nspname = 'message_store';
  IF NOT FOUND THEN
    CREATE SCHEMA message_store;
  ELSIF NOT present.is_interface AND NOT present.is_empty THEN
    RAISE EXCEPTION USING
      ERRCODE = 'duplicate_schema',
      MESSAGE = 'schema message_store holds something else, as a Message DB does',
      HINT = 'Nothing was changed. Install the interface in another database, or import the '
        'messages (pgstore import --from message-db) and rename the old schema.';
  ELSIF NOT present.is_ours THEN
    -- Its owner could put functions there that clients run with their rights.
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('schema message_store belongs to another role than %I', current_user),
      HINT = 'Nothing was changed. SET ROLE to its owner.';
  ELSE
    over := (
      SELECT (
        parse_ident(left(substr(s.setting, length('search_path=') + 1), -length(', pg_temp')))
      )[1]
      FROM pg_proc AS p
      JOIN pg_namespace AS n ON n.oid = p.pronamespace
      CROSS JOIN unnest(p.proconfig) AS s (setting)
      WHERE n.nspname = 'message_store' AND p.proname = '_store'
    );
    -- Another store's messages would come to clients that know the positions of this one.
    IF over <> store COLLATE "C" AND EXISTS (
      SELECT FROM pg_proc AS p
      JOIN pg_namespace AS n ON n.oid = p.pronamespace
      WHERE n.nspname = over AND p.proname = 'applied_migrations'
    ) THEN
      RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('Message DB''s interface is over store %I, not over %I', over, store),
        DETAIL = json_build_object('store', store, 'over', over)::text,
        HINT = 'Nothing was changed. Remove it first, by pgstore uninstall --message-db or '
          'sql/message_db/remove.sql: no message is lost.';
    END IF;
  END IF;
  -- The views, and the store's grants, are also gone with a store that was dropped, and may have
  -- been installed again under its name.
  PERFORM set_config(
    'pgstore.interface_is_new', (to_regclass('message_store.messages') IS NULL)::text, true
  );

  PERFORM set_config('pgstore.role_is_new', 'off', true);
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = 'message_store') THEN
    -- As on a server to which the database was moved.
    PERFORM set_config('pgstore.role_is_new', 'on', true);
    BEGIN
      CREATE ROLE message_store LOGIN;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN
        NULL;  -- made in another database of the server meanwhile
    END;
  END IF;

  -- The type of all answers. It is never changed.
  IF to_regtype('message_store.message') IS NULL THEN
    CREATE TYPE message_store.message AS (
      id varchar,
      stream_name varchar,
      type varchar,
      "position" bigint,
      global_position bigint,
      data varchar,
      metadata varchar,
      "time" timestamp
    );
  END IF;
END
$$;

SET LOCAL lock_timeout = '3s';

COMMENT ON SCHEMA message_store IS
$$Holds Message DB's interface over a store of pgstore: message_store._store() names it.$$;
COMMENT ON TYPE message_store.message IS
$$Stands for a message as Message DB's functions return it: data and metadata as texts.$$;
COMMENT ON COLUMN message_store.message.id IS $$Identity of the message, a UUID.$$;
COMMENT ON COLUMN message_store.message.stream_name IS $$Name of its stream.$$;
COMMENT ON COLUMN message_store.message.type IS $$Name of its type.$$;
COMMENT ON COLUMN message_store.message."position" IS
$$Its place in the stream, from 0: its version minus 1.$$;
COMMENT ON COLUMN message_store.message.global_position IS
$$Its place in the store, from 1, with gaps.$$;
COMMENT ON COLUMN message_store.message.data IS
$$Its payload, as the text of a JSON value; NULL for null.$$;
COMMENT ON COLUMN message_store.message.metadata IS
$$Its writer's metadata, as the text of a JSON object, or NULL.$$;
COMMENT ON COLUMN message_store.message."time" IS $$When it was written, in UTC.$$;
