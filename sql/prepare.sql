-- Begins an installation or upgrade, for psql and Python alike. Expects two transaction-local
-- settings: pgstore.schema, the store's name, and pgstore.manifest, a JSON array of the migrations
-- that these files know: {"number", "name", "checksum"}. Refuses and changes nothing if the store
-- is newer than the files or its applied migrations are not the ones in the files.
SET LOCAL lock_timeout = '60s';
-- The files are, whatever the connection's encoding is.
SET LOCAL client_encoding = 'UTF8';

DO $$
DECLARE
  store text := current_setting('pgstore.schema');
  -- Quoted or not: that depends on the keywords of the server that wrote it, and on the setting
  -- quote_all_identifiers of that session.
  pinned text[] := array_remove(
    ARRAY[
      'search_path=' || quote_ident(store) || ', pg_temp',
      'search_path="' || replace(store, '"', '""') || '", pg_temp',
      'search_path=' || substring(store FROM '^[a-z_][a-z0-9_]*$') || ', pg_temp'
    ],
    NULL
  );
  renamed record;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION USING
      ERRCODE = 'read_only_sql_transaction',
      MESSAGE = 'this server is a standby',
      HINT = 'Install and upgrade the store on the primary.';
  END IF;
  -- One installer at a time for a store, in this database.
  PERFORM pg_advisory_xact_lock(
    hashtextextended('pgstore:install:' || current_setting('pgstore.schema') COLLATE "C", 0)
  );
  -- Remember the existing objects for grants.sql.
  PERFORM set_config(
    'pgstore.objects',
    (
      SELECT coalesce(json_agg(o.key), '[]')::text
      FROM pg_namespace AS n
      CROSS JOIN LATERAL (
        SELECT 'schema ' || n.oid AS key
        UNION ALL
        SELECT 'relation ' || c.oid FROM pg_class AS c WHERE c.relnamespace = n.oid
        UNION ALL
        SELECT 'function ' || p.oid FROM pg_proc AS p WHERE p.pronamespace = n.oid
      ) AS o
      WHERE n.nspname = current_setting('pgstore.schema')
    ),
    true
  );
  -- And the rights on functions, which a function with other parameters takes over.
  PERFORM set_config(
    'pgstore.rights',
    (
      SELECT coalesce(
        json_agg(
          json_build_object(
            'id', p.oid, 'name', p.proname, 'role', a.grantee, 'grants', a.is_grantable
          )
        ),
        '[]'
      )::text
      FROM pg_proc AS p
      JOIN pg_namespace AS n ON n.oid = p.pronamespace
      CROSS JOIN aclexplode(p.proacl) AS a
      WHERE n.nspname = current_setting('pgstore.schema') AND a.grantee NOT IN (0, n.nspowner)
    ),
    true
  );
  IF current_setting('server_version_num')::integer < 140000 THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS012',
      MESSAGE = 'pgstore needs PostgreSQL 14 or newer',
      DETAIL = json_build_object('server_version', current_setting('server_version'))::text;
  ELSIF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS012',
      MESSAGE = 'pgstore needs a database whose encoding is UTF8',
      DETAIL = json_build_object('server_encoding', current_setting('server_encoding'))::text,
      HINT = 'Create the database with ENCODING ''UTF8''.';
  ELSIF octet_length(current_setting('pgstore.schema')) NOT BETWEEN 1 AND 63
    OR starts_with(current_setting('pgstore.schema'), 'pg_')
    OR current_setting('pgstore.schema') IN ('information_schema', '$user')
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'a store''s name is a schema''s name: 1 to 63 bytes that do not start with pg_',
      DETAIL = json_build_object(
        'argument', 'schema', 'schema', current_setting('pgstore.schema')
      )::text;
  END IF;

  -- Functions find the tables by the name that the schema had when they were made. Those of a store
  -- that was renamed would work on another one under its old name, with the rights granted on them.
  SELECT n.nspname AS schema, s.setting INTO renamed
  FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace
  CROSS JOIN unnest(p.proconfig) AS s (setting)
  WHERE p.proname = 'applied_migrations'
    AND starts_with(s.setting, 'search_path=')
    AND CASE n.nspname
      WHEN current_setting('pgstore.schema') THEN s.setting <> ALL (pinned)
      ELSE s.setting = ANY (pinned) AND NOT EXISTS (
        SELECT FROM pg_class AS c
        JOIN pg_namespace AS t ON t.oid = c.relnamespace
        WHERE t.nspname = current_setting('pgstore.schema') AND c.relname = 'migrations'
      )
    END
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = format('schema %I holds a store that was made under another name', renamed.schema),
      DETAIL = json_build_object('schema', renamed.schema, 'pinned', renamed.setting)::text,
      HINT = 'Its functions find nothing there: rename the schema back. To have the messages under '
        'another name, export them and import them into a new store.';
  END IF;

  -- Message DB's interface, if it is over this store: the same transaction brings it along. Not one
  -- whose views went with a store that was dropped, and not without its role: to make that again
  -- would give rights to it.
  PERFORM set_config(
    'pgstore.has_interface',
    EXISTS (
      SELECT
      FROM pg_proc AS p
      JOIN pg_namespace AS n ON n.oid = p.pronamespace
      JOIN pg_roles AS r ON r.oid = n.nspowner AND r.rolname = current_user
      CROSS JOIN unnest(p.proconfig) AS s (setting)
      WHERE n.nspname = 'message_store'
        AND p.proname = '_store'
        AND p.proowner = n.nspowner
        AND s.setting = ANY (pinned)
        AND EXISTS (
          SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'messages'
        )
        AND EXISTS (SELECT FROM pg_roles AS m WHERE m.rolname = 'message_store')
    )::text,
    true
  );
  IF current_setting('pgstore.has_interface')::boolean THEN
    -- Its installer's key, now: later a wait would keep those waiting who use the tables.
    PERFORM pg_advisory_xact_lock(hashtextextended('pgstore:install:message_store', 0));
  END IF;

  IF NOT EXISTS (
    SELECT FROM pg_namespace AS n WHERE n.nspname = current_setting('pgstore.schema')
  ) THEN
    -- Dynamic, because CREATE SCHEMA takes no parameter. Not IF NOT EXISTS: that asks for the right
    -- to create schemas even when the schema is there and ours.
    EXECUTE format('CREATE SCHEMA %I', current_setting('pgstore.schema'));
  ELSIF EXISTS (
    SELECT FROM pg_namespace AS n
    WHERE n.nspname = current_setting('pgstore.schema')
      AND n.nspowner <> (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)
  ) THEN
    -- Its owner could put functions and triggers there that run with the installer's rights.
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format(
        'schema %I belongs to another role than %I', current_setting('pgstore.schema'), current_user
      ),
      HINT = 'SET ROLE to its owner, or give the store another name.';
  ELSIF EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_setting('pgstore.schema')
      AND c.relname = 'migrations'
      AND c.relkind = 'r'
      AND c.relowner <> n.nspowner
  ) THEN
    -- As after a restore without owners into a schema that was there.
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format(
        'schema %I belongs to another role than what is in it', current_setting('pgstore.schema')
      ),
      HINT = 'Give the schema to the owner of its tables, by ALTER SCHEMA.';
  ELSIF NOT EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_setting('pgstore.schema')
      AND c.relname = 'migrations'
      AND c.relkind = 'r'
  ) AND (
    EXISTS (
      SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = current_setting('pgstore.schema')
    ) OR EXISTS (
      SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
      WHERE n.nspname = current_setting('pgstore.schema')
    )
  ) THEN
    -- A store's schema is for the store: the rights on all that is in it are the store's.
    RAISE EXCEPTION USING
      ERRCODE = 'duplicate_schema',
      MESSAGE = format(
        'schema %I exists and is not a store', current_setting('pgstore.schema')
      ),
      HINT = 'Give the store another name, or an empty schema.';
  END IF;
  PERFORM set_config(
    'search_path', quote_ident(current_setting('pgstore.schema')) || ', pg_temp', true
  );
  -- Without the right to use the schema, everything would go to pg_temp.
  IF current_schema() IS DISTINCT FROM current_setting('pgstore.schema') THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('permission denied for schema %I', current_setting('pgstore.schema')),
      HINT = 'Installing a store takes the right to create its schema, or to own it.';
  END IF;
END
$$;

-- From here on, who waits for a lock has others wait behind: on a view, even if nothing but
-- functions is applied anew. Rather give up soon; a migration says for itself.
SET LOCAL lock_timeout = '3s';

CREATE TABLE IF NOT EXISTS migrations (
  number bigint NOT NULL,
  applied_at timestamptz NOT NULL,
  name text NOT NULL,
  checksum text NOT NULL,
  CONSTRAINT migrations_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE migrations IS
$$Records the installation: a row for each migration, and row 0 for the re-applied files.$$;
COMMENT ON COLUMN migrations.number IS
$$Number of the migration; 0 for the functions, views and grants, applied again by each upgrade.$$;
COMMENT ON COLUMN migrations.applied_at IS $$When it was applied.$$;
COMMENT ON COLUMN migrations.name IS $$Name of its file.$$;
COMMENT ON COLUMN migrations.checksum IS $$SHA-256 of its text, in hexadecimal.$$;

DO $$
DECLARE
  known bigint;
  stored record;
BEGIN
  SELECT max(k.number) INTO known
  FROM json_to_recordset(current_setting('pgstore.manifest')::json) AS k (number bigint);

  SELECT m.number, m.name, m.checksum, k.checksum AS known_checksum INTO stored
  FROM migrations AS m
  LEFT JOIN json_to_recordset(current_setting('pgstore.manifest')::json)
    AS k (number bigint, name text, checksum text) USING (number)
  WHERE m.number > 0 AND k.checksum IS DISTINCT FROM m.checksum
  ORDER BY m.number DESC
  LIMIT 1;

  IF stored.number > known THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS010',
      MESSAGE = format(
        'store %I is at schema version %s, newer than these files, which know version %s',
        current_schema(), stored.number, known
      ),
      DETAIL = json_build_object(
        'store', current_schema(), 'schema_version', stored.number, 'known_version', known
      )::text,
      HINT = 'Use the pgstore release that installed it, or a newer one. Nothing was changed.';
  ELSIF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS011',
      MESSAGE = format(
        'migration %s of store %I is not the one in these files', stored.name, current_schema()
      ),
      DETAIL = json_build_object(
        'store', current_schema(), 'migration', stored.name, 'applied_checksum', stored.checksum,
        'known_checksum', stored.known_checksum
      )::text,
      HINT = 'Released migrations never change: use unedited pgstore files. Nothing was changed.';
  END IF;
END
$$;

-- A query of a view locks the view first, and then its tables. An upgrade locks tables first, in
-- its migrations, and makes the views anew at its end: the two would deadlock. So it locks the
-- views before. Views of Message DB's interface read views of the store, which are made anew before
-- them. So it locks those that others read after the others, which were made later.
-- Dynamic, because older stores have other views.
--
-- Several migrations would lock tables one after the other, in another order than writers and
-- handlers do. So an upgrade with several locks all tables now, and gives its locks back rather
-- than wait long for one while it holds another.
DO $$
DECLARE
  view_name text;
  tables text;
  missing bigint;
  has_interface boolean := current_setting('pgstore.has_interface')::boolean;
BEGIN
  SELECT count(*) INTO missing
  FROM json_to_recordset(current_setting('pgstore.manifest')::json) AS k (number bigint)
  WHERE NOT EXISTS (SELECT FROM migrations AS m WHERE m.number = k.number);
  IF missing > 0 OR has_interface THEN
    FOR view_name IN
      SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class AS c
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE (n.nspname = current_schema() OR n.nspname = 'message_store' AND has_interface)
        AND c.relkind = 'v'
        AND c.relowner = n.nspowner
      ORDER BY n.nspname = current_schema(), c.oid DESC
    LOOP
      -- The owner stays. LOCK TABLE would lock the view's tables too.
      EXECUTE format('ALTER VIEW %s OWNER TO CURRENT_USER', view_name);
    END LOOP;
  END IF;
  SELECT string_agg(format('%I', c.relname), ', ' ORDER BY c.relname) INTO tables
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema()
    AND c.relkind = 'r'
    AND c.relname <> 'migrations'
    AND c.relowner = n.nspowner;
  IF missing > 1 AND tables IS NOT NULL THEN
    FOR attempt IN 1..20 LOOP
      BEGIN
        SET LOCAL lock_timeout = '100ms';
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', tables);
        EXIT;
      EXCEPTION
        WHEN lock_not_available THEN
          IF attempt = 20 THEN
            RAISE;
          END IF;
          PERFORM pg_sleep(0.1 * random());
      END;
    END LOOP;
    SET LOCAL lock_timeout = '3s';
  END IF;
END
$$;
