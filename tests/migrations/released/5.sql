-- Frozen: the store of version 5, written by tools/freeze_release.py. Never edit it.
-- To be run in one transaction, after the setting pgstore.schema was set to the store's name.
SET LOCAL client_min_messages = warning;
DO $frozen$
BEGIN
  PERFORM
    set_config('pgstore.schema', current_setting('pgstore.schema'), true),
    set_config('pgstore.manifest', $manifest$[{"number": 0, "name": "functions, views and grants", "checksum": "71a74bd907ffd55e98a95b489077a4a2d276ea584df197062beb44c66fac051b"}, {"number": 1, "name": "0001_messages", "checksum": "0476ed0aa070617e768883465bce0e271270ede31da6f4b28e7e7a5562d39104"}, {"number": 2, "name": "0002_subscriptions", "checksum": "ee75df5a9bc3918184c118283c8e97d084b0b751f1b142e8b4f794145ac2855d"}, {"number": 3, "name": "0003_operations", "checksum": "cdc0f3a9df8926b280409a468a6ab19b07a08c0288fbe5c59f3fb0859481aae1"}, {"number": 4, "name": "0004_reliability", "checksum": "df81913c528449c577848e19c20a6c1970f612aaa726a55ad7426e8a68684ad5"}, {"number": 5, "name": "0005_guarded", "checksum": "ef47dc47c2e86b72c21061aa6af4a3e3e990de0a69a35612a621758dad2117c1"}, {"number": 6, "name": "0006_plain", "checksum": "c5b548840fdb18bd7f9acaec0a27bf56c3b574967be9e7dca8ccc49c3e521638"}, {"number": 7, "name": "0007_gates", "checksum": "f55fc01cdf10df706d9109e557c4e6fa69f84fe659f42602ab36f29abe3bd1ce"}, {"number": 8, "name": "0008_snapshots", "checksum": "d7f73b133afa8027d081160df14e241e7a65ee2bbf679c23959dd23b2cfefa09"}, {"number": 9, "name": "0009_scheduled", "checksum": "422540bf28db7e331bbdd96a4594641ce1823cdae3ef1a2417263000beaa353c"}, {"number": 10, "name": "0010_metadata", "checksum": "d14b609e8aff94562e48819508704597d8d7de18ea029b912acbefdc27952c06"}]$manifest$, true);
END
$frozen$;

-- prepare.sql
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
-- views before. Dynamic, because older stores have other views.
DO $$
DECLARE
  view_name text;
BEGIN
  IF EXISTS (
    SELECT FROM json_to_recordset(current_setting('pgstore.manifest')::json) AS k (number bigint)
    WHERE NOT EXISTS (SELECT FROM migrations AS m WHERE m.number = k.number)
  ) THEN
    FOR view_name IN
      SELECT c.relname
      FROM pg_class AS c
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = current_schema() AND c.relkind = 'v' AND c.relowner = n.nspowner
      ORDER BY c.relname
    LOOP
      -- The owner stays. LOCK TABLE would lock the view's tables too.
      EXECUTE format('ALTER VIEW %I OWNER TO CURRENT_USER', view_name);
    END LOOP;
  END IF;
END
$$;

-- migrations/0001_messages.sql
-- breaking: no
-- Streams and messages, the sequences behind their numbers, and the store's lock keys.
SET LOCAL lock_timeout = '10s';

-- Drawn once here, so that the first message gets position 1 and an empty store has position 0:
-- a fresh sequence would show its first value before anybody had it.
CREATE SEQUENCE global_position_seq AS bigint MINVALUE 0 START WITH 0;
CREATE SEQUENCE stream_id_seq AS bigint;
DO $$ BEGIN PERFORM nextval('global_position_seq'); END $$;

COMMENT ON SEQUENCE global_position_seq IS
$$Global positions. Its last value is 0 while the store is empty.$$;
COMMENT ON SEQUENCE stream_id_seq IS $$Internal ids of streams.$$;

-- Names compare by bytes (COLLATE "C"): no operating system upgrade can reorder these indexes.
CREATE TABLE streams (
  stream_id bigint NOT NULL,
  category_key bigint NOT NULL,
  stream text COLLATE "C" NOT NULL,
  category text COLLATE "C" NOT NULL,
  CONSTRAINT streams_stream_id_pkey PRIMARY KEY (stream_id),
  CONSTRAINT streams_stream_key UNIQUE (stream),
  CONSTRAINT streams_stream_check CHECK (octet_length(stream) BETWEEN 1 AND 1000)
);

COMMENT ON TABLE streams IS $$One row for each stream that has ever been written to.$$;
COMMENT ON COLUMN streams.stream_id IS $$Internal id, from stream_id_seq.$$;
COMMENT ON COLUMN streams.category_key IS $$category_key(category).$$;
COMMENT ON COLUMN streams.stream IS $$Name of the stream: 1 to 1000 bytes.$$;
COMMENT ON COLUMN streams.category IS $$Name of the stream's category: category(stream).$$;

-- No foreign key to streams: streams are never deleted, and the check would cost every insert.
CREATE TABLE messages (
  global_position bigint NOT NULL,
  stream_id bigint NOT NULL,
  version bigint NOT NULL,
  category_key bigint NOT NULL,
  added_at timestamptz NOT NULL,
  message_id uuid NOT NULL,
  type text COLLATE "C" NOT NULL,
  data jsonb NOT NULL,
  metadata jsonb,
  CONSTRAINT messages_global_position_pkey PRIMARY KEY (global_position),
  CONSTRAINT messages_stream_id_version_key UNIQUE (stream_id, version),
  CONSTRAINT messages_message_id_key UNIQUE (message_id)
);
CREATE INDEX messages_category_key_global_position_idx
  ON messages (category_key, global_position);

COMMENT ON TABLE messages IS
$$The messages. Rows are only ever added; read them through all_messages or the functions.$$;
COMMENT ON COLUMN messages.global_position IS
$$Place in the store: increasing in every stream, with gaps, from 1.$$;
COMMENT ON COLUMN messages.stream_id IS $$The stream, streams.stream_id.$$;
COMMENT ON COLUMN messages.version IS $$Place in the stream: 1, 2, 3 … without gaps.$$;
COMMENT ON COLUMN messages.category_key IS $$The stream's streams.category_key.$$;
COMMENT ON COLUMN messages.added_at IS
$$When it was written, by the server's clock, shortly before its transaction committed.$$;
COMMENT ON COLUMN messages.message_id IS $$Identity, from the writer or made by the store.$$;
COMMENT ON COLUMN messages.type IS $$Name of the message's type: 1 to 255 bytes.$$;
COMMENT ON COLUMN messages.data IS $$The payload, any JSON value.$$;
COMMENT ON COLUMN messages.metadata IS
$$What the writer says about the message: a JSON object, or NULL.$$;

CREATE TYPE message AS (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz
);

COMMENT ON TYPE message IS $$A stored message, as every read function returns it.$$;
COMMENT ON COLUMN message.message_id IS $$Identity of the message.$$;
COMMENT ON COLUMN message.stream IS $$Name of its stream.$$;
COMMENT ON COLUMN message.version IS $$Its place in the stream, from 1, without gaps.$$;
COMMENT ON COLUMN message.global_position IS $$Its place in the store, from 1, with gaps.$$;
COMMENT ON COLUMN message.type IS $$Name of its type.$$;
COMMENT ON COLUMN message.data IS $$Its payload.$$;
COMMENT ON COLUMN message.metadata IS $$What its writer said about it, or NULL.$$;
COMMENT ON COLUMN message.added_at IS $$When it was written, by the server's clock.$$;

-- Frozen: rows hold its results.
CREATE FUNCTION category_key(
  category text
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
STRICT
RETURN (
  'x' || encode(substr(sha256(convert_to(category_key.category, 'UTF8')), 1, 8), 'hex')
)::bit(64)::bigint;

COMMENT ON FUNCTION category_key(text) IS
$$Internal: 64-bit key that stands for a category in messages. Two categories may share one, so
whoever reads by key compares the name too. A hash needs no row that first writers of a category
would have to wait for.$$;

-- The store's advisory lock classes and its names outside the schema, fixed here for good: they
-- survive a dump and restore and are the same for whoever looks. Constants in functions, because
-- these are inlined into the statements that use them. Dynamic, because they hash the schema's
-- name.
DO $$
DECLARE
  -- SHA-2, because servers in FIPS mode refuse MD5.
  store_hash text := encode(sha256(convert_to('pgstore:' || current_schema(), 'UTF8')), 'hex');
  constant record;
BEGIN
  FOR constant IN
    SELECT c.name, 'integer' AS type, (
      'x' || encode(substr(sha256(convert_to(store_hash || c.name, 'UTF8')), 1, 4), 'hex')
    )::bit(32)::integer::text AS value
    FROM unnest(ARRAY['stream_lock_class', 'mark_lock_class', 'bell_lock_class']) AS c (name)
    UNION ALL
    VALUES
      ('mark_setting', 'text', 'pgstore.mark_' || left(store_hash, 16)),
      ('wake_channel', 'text', 'pgstore_' || left(store_hash, 16))
  LOOP
    EXECUTE format(
      'CREATE FUNCTION %I() RETURNS %s LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %L::%2$s',
      constant.name, constant.type, constant.value
    );
  END LOOP;
END
$$;

COMMENT ON FUNCTION stream_lock_class() IS
$$Internal: first key of the advisory locks that put the writers of one stream in a row.$$;
COMMENT ON FUNCTION mark_lock_class() IS
$$Internal: first key of the in-flight marks.$$;
COMMENT ON FUNCTION bell_lock_class() IS
$$Internal: first key of the bell keys that sleeping readers hold.$$;
COMMENT ON FUNCTION mark_setting() IS
$$Internal: the transaction-local setting that remembers the in-flight mark of this transaction.$$;
COMMENT ON FUNCTION wake_channel() IS
$$Channel on which writers notify sleeping readers; its notifications have no payload.$$;

-- migrations/0002_subscriptions.sql
-- breaking: no
-- Subscriptions: their partitions, what is known to wait in them, and what was parked.
SET LOCAL lock_timeout = '10s';

CREATE SEQUENCE subscription_id_seq AS bigint;
COMMENT ON SEQUENCE subscription_id_seq IS $$Internal ids of subscriptions.$$;

CREATE TABLE subscriptions (
  subscription_id bigint NOT NULL,
  partitions bigint NOT NULL,
  next_partitions bigint,
  max_attempts bigint NOT NULL,
  created_at timestamptz NOT NULL,
  retry_delay interval NOT NULL,
  paused boolean NOT NULL,
  subscription text COLLATE "C" NOT NULL,
  partition_by text COLLATE "C" NOT NULL,
  on_failure text COLLATE "C" NOT NULL,
  stream_pattern text COLLATE "C",
  categories text[] COLLATE "C",
  types text[] COLLATE "C",
  CONSTRAINT subscriptions_subscription_id_pkey PRIMARY KEY (subscription_id),
  CONSTRAINT subscriptions_subscription_key UNIQUE (subscription)
);
COMMENT ON TABLE subscriptions IS $$Named durable readers and what they read.$$;
COMMENT ON COLUMN subscriptions.subscription_id IS $$Internal id.$$;
COMMENT ON COLUMN subscriptions.partitions IS $$Number of partitions.$$;
COMMENT ON COLUMN subscriptions.next_partitions IS
$$Number of partitions it will have when those it has have caught up with each other, or NULL.$$;
COMMENT ON COLUMN subscriptions.max_attempts IS $$How often a message is handed out at most.$$;
COMMENT ON COLUMN subscriptions.created_at IS $$When it was created.$$;
COMMENT ON COLUMN subscriptions.retry_delay IS
$$Pause before the second attempt; it doubles with every further one, up to an hour.$$;
COMMENT ON COLUMN subscriptions.paused IS $$Whether its partitions are not handed out.$$;
COMMENT ON COLUMN subscriptions.subscription IS $$Its name: 1 to 255 bytes.$$;
COMMENT ON COLUMN subscriptions.partition_by IS
$$What decides a message's partition: stream, cardinal_id or metadata:<key>.$$;
COMMENT ON COLUMN subscriptions.on_failure IS
$$What happens to a message after its last attempt: stop (its partition) or park (it, and go on).$$;
COMMENT ON COLUMN subscriptions.stream_pattern IS
$$LIKE pattern of stream names, or NULL for all.$$;
COMMENT ON COLUMN subscriptions.categories IS $$Categories to read, or NULL for all.$$;
COMMENT ON COLUMN subscriptions.types IS $$Types to read, or NULL for all.$$;

CREATE TABLE subscription_partitions (
  subscription_id bigint NOT NULL,
  partition bigint NOT NULL,
  checkpoint bigint NOT NULL,
  token bigint NOT NULL,
  attempts bigint NOT NULL,
  failed_position bigint,
  leased_until timestamptz,
  retry_at timestamptz,
  lease interval,
  stopped boolean NOT NULL,
  owner text,
  error text,
  CONSTRAINT subscription_partitions_subscription_id_partition_pkey
    PRIMARY KEY (subscription_id, partition)
)
-- Rows change with every batch: room for new versions on the same page.
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE subscription_partitions IS $$Progress and lease of each partition.$$;
COMMENT ON COLUMN subscription_partitions.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_partitions.partition IS $$Number of the partition, from 0.$$;
COMMENT ON COLUMN subscription_partitions.checkpoint IS
$$Every message of the partition up to this global position has been dealt with.$$;
COMMENT ON COLUMN subscription_partitions.token IS $$Fencing token of the last lease.$$;
COMMENT ON COLUMN subscription_partitions.attempts IS
$$Failed attempts at the message at failed_position.$$;
COMMENT ON COLUMN subscription_partitions.failed_position IS $$The message that failed, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.leased_until IS $$End of the lease, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.retry_at IS $$Not handed out before this time, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.lease IS $$Length of the lease.$$;
COMMENT ON COLUMN subscription_partitions.stopped IS
$$Whether a failed message holds it, until it is resumed.$$;
COMMENT ON COLUMN subscription_partitions.owner IS $$Who has, or last had, the lease.$$;
COMMENT ON COLUMN subscription_partitions.error IS $$Error of the last failed attempt.$$;

-- Written only by who looks for work, in a short transaction of its own, never by a handler's: so a
-- handler that keeps its transaction open blocks nobody else's partition.
CREATE TABLE subscription_sweeps (
  subscription_id bigint NOT NULL,
  swept_position bigint NOT NULL,
  CONSTRAINT subscription_sweeps_subscription_id_pkey PRIMARY KEY (subscription_id)
)
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE subscription_sweeps IS $$How far each subscription has looked for work.$$;
COMMENT ON COLUMN subscription_sweeps.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_sweeps.swept_position IS
$$Every message up to this global position is in subscription_heads, if it was not dealt with.$$;

CREATE TABLE subscription_heads (
  subscription_id bigint NOT NULL,
  partition bigint NOT NULL,
  head bigint NOT NULL,
  CONSTRAINT subscription_heads_subscription_id_partition_pkey
    PRIMARY KEY (subscription_id, partition)
)
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX subscription_heads_subscription_id_head_idx
  ON subscription_heads (subscription_id, head);
COMMENT ON TABLE subscription_heads IS $$Partitions in which messages wait.$$;
COMMENT ON COLUMN subscription_heads.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_heads.partition IS $$Number of the partition.$$;
COMMENT ON COLUMN subscription_heads.head IS
$$Global position up to which messages of the partition may wait.$$;

CREATE TABLE subscription_work (
  subscription_id bigint NOT NULL,
  partition bigint NOT NULL,
  head bigint NOT NULL,
  positions bigint[] NOT NULL,
  CONSTRAINT subscription_work_subscription_id_partition_head_pkey
    PRIMARY KEY (subscription_id, partition, head)
)
WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE subscription_work IS
$$What each look for work has found for each partition, of subscriptions with more than one: so that
no partition looks at the messages of the others.$$;
COMMENT ON COLUMN subscription_work.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_work.partition IS $$Number of the partition.$$;
COMMENT ON COLUMN subscription_work.head IS $$The last of positions.$$;
COMMENT ON COLUMN subscription_work.positions IS
$$Global positions of the messages found, in order.$$;

CREATE TABLE parked_messages (
  subscription_id bigint NOT NULL,
  global_position bigint NOT NULL,
  partition bigint NOT NULL,
  attempts bigint NOT NULL,
  parked_at timestamptz NOT NULL,
  replay boolean NOT NULL,
  error text,
  CONSTRAINT parked_messages_subscription_id_global_position_pkey
    PRIMARY KEY (subscription_id, global_position)
);
CREATE INDEX parked_messages_subscription_id_partition_global_position_idx
  ON parked_messages (subscription_id, partition, global_position)
  WHERE replay;
COMMENT ON TABLE parked_messages IS $$Messages that a subscription has put aside.$$;
COMMENT ON COLUMN parked_messages.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN parked_messages.global_position IS $$The message.$$;
COMMENT ON COLUMN parked_messages.partition IS $$Its partition.$$;
COMMENT ON COLUMN parked_messages.attempts IS $$How often it was tried.$$;
COMMENT ON COLUMN parked_messages.parked_at IS $$When it was put aside.$$;
COMMENT ON COLUMN parked_messages.replay IS $$Whether it is to be handed out again.$$;
COMMENT ON COLUMN parked_messages.error IS $$Error of the last attempt.$$;

-- Frozen: checkpoints mean what they mean only as long as each message stays in its partition.
CREATE FUNCTION partition_of(
  stream_id bigint,
  stream text,
  metadata jsonb,
  partitions bigint,
  partition_by text
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
  WHEN partition_by COLLATE "C" = 'stream'
    THEN ((stream_id & 2147483647) * 2654435761 & 4294967295) >> 12
  ELSE ('x' || encode(substr(sha256(convert_to(coalesce(
    CASE
      WHEN partition_by COLLATE "C" = 'cardinal_id' AND strpos(stream COLLATE "C", '-') > 0
        THEN split_part(
          substr(stream, strpos(stream COLLATE "C", '-') + 1) COLLATE "C", '+', 1
        )
      WHEN partition_by COLLATE "C" LIKE 'metadata:%' THEN metadata ->> substr(partition_by, 10)
    END,
    stream
  ), 'UTF8')), 1, 6), 'hex'))::bit(48)::bigint
END % partitions;

COMMENT ON FUNCTION partition_of(bigint, text, jsonb, bigint, text) IS
$$Internal: the partition, from 0, of a message. By stream: a hash of the stream's internal id. By
cardinal_id: of the stream's id up to the first "+". By metadata:<key>: of that value. Where the
name has no id, or the metadata no such key, by the stream's name.$$;

-- migrations/0003_operations.sql
-- breaking: no
-- What operators need: floors of streams that were cut off, retention, rights and the audit. And
-- what waits in a subscription's only partition, in its own row.
-- Writers and workers wait for this transaction from its first lock on: rather give up soon and try
-- again.

-- Some take a lock on streams first and on partitions then, others the other way round. To wait
-- long for one of them while the other is held would deadlock with either; so it is given back.
DO $$
BEGIN
  FOR attempt IN 1..20 LOOP
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      LOCK TABLE
        streams, subscriptions, subscription_sweeps, subscription_heads, subscription_partitions
      IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION
      WHEN lock_not_available THEN
        IF attempt = 20 THEN
          RAISE;
        END IF;
        PERFORM pg_sleep(0.1 * random());
    END;
  END LOOP;
END
$$;
SET LOCAL lock_timeout = '3s';

ALTER TABLE subscription_partitions ADD COLUMN head bigint;
COMMENT ON COLUMN subscription_partitions.head IS
$$Global position up to which messages may wait, if it is the only partition; else NULL, and
subscription_heads has it.$$;
COMMENT ON TABLE subscription_sweeps IS
$$How far each subscription with more than one partition has looked for work.$$;
COMMENT ON TABLE subscription_heads IS
$$Partitions in which messages wait, of subscriptions with more than one.$$;

UPDATE subscription_partitions AS p
SET
  checkpoint = CASE WHEN h.head > p.checkpoint THEN p.checkpoint ELSE w.swept_position END,
  head = w.swept_position
FROM subscriptions AS s
JOIN subscription_sweeps AS w USING (subscription_id)
LEFT JOIN subscription_heads AS h USING (subscription_id)
WHERE s.subscription_id = p.subscription_id AND s.partitions = 1;
DELETE FROM subscription_heads AS h
USING subscriptions AS s
WHERE s.subscription_id = h.subscription_id AND s.partitions = 1;

CREATE SEQUENCE audit_id_seq AS bigint;
COMMENT ON SEQUENCE audit_id_seq IS $$Numbers of the audit's entries.$$;

CREATE TABLE audit (
  audit_id bigint NOT NULL,
  done_at timestamptz NOT NULL,
  session_role text COLLATE "C" NOT NULL,
  acting_role text COLLATE "C" NOT NULL,
  action text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  reason text,
  detail jsonb NOT NULL,
  CONSTRAINT audit_audit_id_pkey PRIMARY KEY (audit_id)
);
COMMENT ON TABLE audit IS
$$What was done to stored messages and to rights: who, when, what and why, never the content.$$;
COMMENT ON COLUMN audit.audit_id IS $$Number of the entry, from audit_id_seq.$$;
COMMENT ON COLUMN audit.done_at IS $$When it was done.$$;
COMMENT ON COLUMN audit.session_role IS $$Role that the session logged in as.$$;
COMMENT ON COLUMN audit.acting_role IS $$Role that it had set with SET ROLE, or the same.$$;
COMMENT ON COLUMN audit.action IS $$Name of the function that was called.$$;
COMMENT ON COLUMN audit.subject IS
$$The stream, category, message id or role that it was done to.$$;
COMMENT ON COLUMN audit.reason IS $$Why, as the caller said it, or NULL.$$;
COMMENT ON COLUMN audit.detail IS $$Counts, versions and settings: a JSON object.$$;

CREATE TABLE retention_policies (
  reached_position bigint NOT NULL,
  keep_after bigint,
  max_count bigint,
  max_age interval,
  keep_unhandled boolean NOT NULL,
  category text COLLATE "C" NOT NULL,
  CONSTRAINT retention_policies_category_pkey PRIMARY KEY (category)
)
-- A row changes with every batch that is deleted: room for new versions on the same page.
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE retention_policies IS
$$Which messages of which categories apply_retention deletes.$$;
COMMENT ON COLUMN retention_policies.reached_position IS
$$Every message of the category up to this global position is gone.$$;
COMMENT ON COLUMN retention_policies.keep_after IS
$$Global position that max_count messages are known to be after, or NULL.$$;
COMMENT ON COLUMN retention_policies.max_count IS $$How many messages are kept, or NULL.$$;
COMMENT ON COLUMN retention_policies.max_age IS $$How long messages are kept, or NULL.$$;
COMMENT ON COLUMN retention_policies.keep_unhandled IS
$$Whether what a subscription to the category has not handled yet is kept in any case.$$;
COMMENT ON COLUMN retention_policies.category IS $$The category.$$;

CREATE TABLE grants (
  role text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  categories text[] COLLATE "C",
  CONSTRAINT grants_role_kind_pkey PRIMARY KEY (role, kind)
);
COMMENT ON TABLE grants IS
$$Which rights were granted to which roles, for upgrades to grant what they add.$$;
COMMENT ON COLUMN grants.role IS $$Name of the role.$$;
COMMENT ON COLUMN grants.kind IS $$read, write, consume, monitor or admin.$$;
COMMENT ON COLUMN grants.categories IS $$Categories it may write to, or NULL for all.$$;

-- A constant, so that it costs writers nothing: it is inlined into their statements. Made anew by
-- note_restrictions when it changes, which makes the plans of all sessions anew.
CREATE FUNCTION writers_restricted()
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN false;

COMMENT ON FUNCTION writers_restricted() IS
$$Internal: whether any role may write to some categories only.$$;

COMMENT ON TABLE messages IS
$$The messages. Read them through all_messages or the functions. Rows are added; they go only from
the beginning of a stream (truncate_stream, delete_stream, apply_retention), and change only by
redact_message.$$;
COMMENT ON COLUMN messages.version IS
$$Place in the stream: 1, 2, 3 … without gaps; what was cut off is missing at the beginning.$$;

ALTER TABLE streams ADD COLUMN floor bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN streams.floor IS
$$Highest version that was cut off by truncate_stream, delete_stream or retention; 0 if none.$$;

-- migrations/0004_reliability.sql
-- breaking: no
-- Marks that hold all bits of a position, pages that tell two positions, and what a claim needs to
-- know of the lease before.
SET LOCAL lock_timeout = '10s';

-- A mark's key holds 32 bits of a position; the other bits choose among 65 consecutive lock classes
-- (take_mark). The class of before is the first of them: marks that are open during the upgrade
-- stay valid. Another one only if the store's other classes lie among the 65, or 65 do not fit.
DO $$
DECLARE
  store_hash text := encode(sha256(convert_to('pgstore:' || current_schema(), 'UTF8')), 'hex');
  class bigint := mark_lock_class();
BEGIN
  FOR attempt IN 1..100 LOOP
    EXIT WHEN class <= 2147483647 - 64
      AND stream_lock_class() NOT BETWEEN class AND class + 64
      AND bell_lock_class() NOT BETWEEN class AND class + 64;
    class := (
      'x' || encode(
        substr(sha256(convert_to(store_hash || 'mark_lock_class' || attempt, 'UTF8')), 1, 4), 'hex'
      )
    )::bit(32)::integer;
  END LOOP;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION mark_lock_class() RETURNS integer LANGUAGE sql IMMUTABLE '
      'PARALLEL SAFE RETURN %L::integer',
    class
  );
END
$$;
COMMENT ON FUNCTION mark_lock_class() IS
$$Internal: first of the 65 consecutive keys that begin the in-flight marks.$$;

-- It answers one column more now.
DROP FUNCTION IF EXISTS read_page(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
);

-- They take the id of the session now.
DROP FUNCTION IF EXISTS fall_asleep();
DROP FUNCTION IF EXISTS wake_up();

-- On which run of the server the last lease began, how many messages its worker can have had, and
-- how many leases have passed without progress.
ALTER TABLE subscription_partitions
  ADD COLUMN leases bigint NOT NULL DEFAULT 0,
  ADD COLUMN alone bigint NOT NULL DEFAULT 0,
  ADD COLUMN batch_size bigint NOT NULL DEFAULT 0,
  ADD COLUMN server_started_at timestamptz;
COMMENT ON COLUMN subscription_partitions.leases IS
$$Leases that have begun since the checkpoint last moved, or a replay was settled.$$;
COMMENT ON COLUMN subscription_partitions.alone IS
$$So many more messages are handed out one at a time: a worker ended with one of them in hand.$$;
COMMENT ON COLUMN subscription_partitions.batch_size IS
$$The most messages that were fetched at once, at most 1000.$$;
COMMENT ON COLUMN subscription_partitions.server_started_at IS
$$Start of the server on which the last lease began, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.attempts IS
$$Failed attempts at the message at failed_position, lost leases with it in hand among them.$$;

-- migrations/0005_guarded.sql
-- breaking: no
-- What keeps a store safe where rights were lost, and what makes its tables refuse wrong rows.
SET LOCAL lock_timeout = '10s';

-- migrations/0006_plain.sql
-- breaking: yes
-- One word for one thing: names say which role a function is for, and a column's content.

-- As migration 3: workers lock these tables in other orders. To wait long for one of them while
-- another is held would deadlock with a worker, so this gives its locks back.
DO $$
BEGIN
  FOR attempt IN 1..20 LOOP
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      LOCK TABLE
        streams, subscriptions, subscription_sweeps, subscription_heads, subscription_partitions,
        subscription_work, parked_messages
      IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION
      WHEN lock_not_available THEN
        IF attempt = 20 THEN
          RAISE;
        END IF;
        PERFORM pg_sleep(0.1 * random());
    END;
  END LOOP;
END
$$;
SET LOCAL lock_timeout = '3s';

-- A function for the store itself begins with an underscore now. In one statement, because some are
-- called in the bodies of others.
DROP FUNCTION IF EXISTS
  acting_role, add_partitions, announce_write, apply_policy, begin_lease, claim_of, close_to_public,
  count_kept, count_lost_lease, create_stream, cut_category, cut_stream, drawn_position,
  enter_flight, finish_repartition, foreign_locks, forget_errors, grant_admin, grant_consume,
  grant_kind, grant_monitor, grant_objects, grant_read, grant_write, granted_names, granted_objects,
  handled_position, holds_kind, import_places, import_rest, import_version, in_store, last_visible,
  lease_only_partition, lease_partition, list_rights, lock_parked, lock_partitions, lock_rights,
  lock_stream, long_as_text, lost_lease, may_lease, may_write, nested_too_deep, new_token,
  note_restrictions, notify_sleepers, payload_problem, prepare_mark, range_of_all,
  range_of_category, range_of_several, range_of_stream, record_audit, refuse_argument,
  refuse_errors, refuse_filter, refuse_import, refuse_isolation, refuse_message_ids,
  refuse_position, refuse_sequences, refuse_session, refuse_stranger, refuse_target, refuse_version,
  refuse_write, repeated_write, restore_grants, revoke_admin, revoke_consume, revoke_kind,
  revoke_monitor, revoke_read, revoke_write, server_health, subscription_has, subscription_health,
  subscription_of, sweep_subscription, take_mark, time_fits, verify_indexes, verify_messages,
  verify_objects, verify_streams, verify_subscriptions, wait_for_handlers, window_end;

-- Their parameters or columns have other names.
DROP FUNCTION IF EXISTS claim_partition, claim_batch, list_partitions;

-- Those that views call, and those that this installation does not make anew, keep their places.
DO $$
DECLARE
  renamed record;
BEGIN
  FOR renamed IN
    SELECT r.old_name, coalesce(r.new_name, '_' || r.old_name) AS new_name
    FROM (
      VALUES
        ('open_marks', NULL), ('may_lock', NULL), ('category_key', NULL), ('partition_of', NULL),
        ('writers_restricted', NULL), ('stream_lock_class', NULL), ('mark_lock_class', NULL),
        ('bell_lock_class', NULL), ('mark_setting', NULL), ('write_batch', 'write_arrays')
    ) AS r (old_name, new_name)
    JOIN pg_proc AS p ON p.proname = r.old_name
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
  LOOP
    EXECUTE format('ALTER FUNCTION %I RENAME TO %I', renamed.old_name, renamed.new_name);
  END LOOP;
END
$$;

COMMENT ON COLUMN streams.category_key IS $$_category_key(category).$$;

-- A word each: the head of a partition, how far work was looked for, the last of some positions.
ALTER TABLE subscription_partitions RENAME COLUMN head TO swept_position;
COMMENT ON COLUMN subscription_partitions.swept_position IS
$$Global position up to which messages may wait, if it is the only partition; else NULL, and
subscription_sweeps and subscription_heads have it.$$;
ALTER TABLE subscription_partitions RENAME COLUMN owner TO worker;
COMMENT ON COLUMN subscription_partitions.worker IS
$$The worker that has, or last had, the lease.$$;
ALTER TABLE subscription_work RENAME COLUMN head TO last_position;
ALTER TABLE subscription_work
  RENAME CONSTRAINT subscription_work_subscription_id_partition_head_pkey
  TO subscription_work_subscription_id_partition_last_position_pkey;
-- The index keeps the column's old name otherwise, until a dump is restored.
ALTER TABLE subscription_work_subscription_id_partition_last_position_pkey
  RENAME COLUMN head TO last_position;

-- Conditions of each row. A partition has only those that cost its workers nothing: each CHECK is
-- made ready for each statement anew, and one of ten conditions was a tenth of fetch and
-- acknowledge. verify_store checks the rest.
UPDATE subscription_partitions AS p SET swept_position = p.checkpoint
WHERE p.swept_position < p.checkpoint;
ALTER TABLE subscription_partitions
  ADD CONSTRAINT subscription_partitions_checkpoint_check CHECK (checkpoint <= swept_position);
ALTER TABLE subscriptions
  ADD CONSTRAINT subscriptions_subscription_check
    CHECK (octet_length(subscription) BETWEEN 1 AND 255),
  ADD CONSTRAINT subscriptions_partitions_check CHECK (partitions BETWEEN 1 AND 65536),
  ADD CONSTRAINT subscriptions_next_partitions_check
    -- Not BETWEEN: a dump would write it with other parentheses.
    CHECK (next_partitions >= 1 AND next_partitions <= 65536 AND next_partitions <> partitions),
  ADD CONSTRAINT subscriptions_max_attempts_check CHECK (max_attempts >= 1),
  ADD CONSTRAINT subscriptions_retry_delay_check CHECK (retry_delay >= '0'),
  ADD CONSTRAINT subscriptions_on_failure_check CHECK (on_failure IN ('stop', 'park')),
  ADD CONSTRAINT subscriptions_partition_by_check CHECK (
    partition_by IN ('stream', 'cardinal_id') OR partition_by LIKE 'metadata:_%'
  ),
  ADD CONSTRAINT subscriptions_categories_check CHECK (cardinality(categories) > 0),
  ADD CONSTRAINT subscriptions_types_check CHECK (cardinality(types) > 0);
ALTER TABLE parked_messages
  ADD CONSTRAINT parked_messages_check
    CHECK (global_position >= 1 AND partition >= 0 AND attempts >= 1);

-- migrations/0007_gates.sql
-- breaking: no
-- Gates: keys that writers share while they are in flight. A reader that finds all of them free
-- knows that no writer is in flight, and need not look at each lock of the server.
SET LOCAL lock_timeout = '10s';

-- As the other lock classes, fixed here for good; none of theirs. Dynamic, because it hashes the
-- schema's name.
DO $$
DECLARE
  store_hash text := encode(sha256(convert_to('pgstore:' || current_schema(), 'UTF8')), 'hex');
  class integer;
BEGIN
  FOR attempt IN 1..100 LOOP
    class := (
      'x' || encode(
        substr(sha256(convert_to(store_hash || 'gate_lock_class' || attempt, 'UTF8')), 1, 4), 'hex'
      )
    )::bit(32)::integer;
    EXIT WHEN class NOT BETWEEN _mark_lock_class() AND _mark_lock_class() + 64
      AND class NOT IN (_stream_lock_class(), _bell_lock_class());
  END LOOP;
  EXECUTE format(
    'CREATE FUNCTION _gate_lock_class() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE '
      'RETURN %L::integer',
    class
  );
END
$$;
COMMENT ON FUNCTION _gate_lock_class() IS
$$Internal: first key of the gates that writers share while they are in flight.$$;

-- Transactions that are open during the upgrade can still write by the functions of before, which
-- enter no gate. Until all of them have ended, readers do without the gates: see _trust_gates().
CREATE SEQUENCE gate_trust_seq AS bigint;
COMMENT ON SEQUENCE gate_trust_seq IS
$$Gives no numbers: it has a value as soon as readers may trust the gates, and none before. Read in
less time than a row, under every snapshot.$$;

-- Unlogged: virtual transaction ids mean nothing on another server, or after a restart.
CREATE UNLOGGED TABLE gate_waits (
  virtual_transaction text NOT NULL,
  CONSTRAINT gate_waits_virtual_transaction_pkey PRIMARY KEY (virtual_transaction)
);
COMMENT ON TABLE gate_waits IS
$$Lists transactions that were open after the upgrade which brought the gates, and that must end
before readers trust these. Empty before they are noted, and afterwards.$$;
COMMENT ON COLUMN gate_waits.virtual_transaction IS $$As pg_locks.virtualxid.$$;

-- Nobody has written to a new store: its readers trust the gates at once.
SELECT setval('gate_trust_seq', 1) WHERE NOT EXISTS (SELECT FROM migrations);

-- migrations/0008_snapshots.sql
-- breaking: no
-- Snapshots: states that programs have made of a stream's messages.
SET LOCAL lock_timeout = '3s';

CREATE TABLE snapshots (
  stream_id bigint NOT NULL,
  code_version bigint NOT NULL,
  version bigint NOT NULL,
  added_at timestamptz NOT NULL,
  snapshot text COLLATE "C" NOT NULL,
  state jsonb NOT NULL,
  CONSTRAINT snapshots_stream_id_snapshot_code_version_pkey
    PRIMARY KEY (stream_id, snapshot, code_version),
  CONSTRAINT snapshots_snapshot_check CHECK (octet_length(snapshot) BETWEEN 1 AND 255),
  CONSTRAINT snapshots_version_check CHECK (version >= 1)
);
COMMENT ON TABLE snapshots IS
$$Keeps the last state that was saved of each stream, for each name and version of the code that
made it.$$;
COMMENT ON COLUMN snapshots.stream_id IS $$The stream, streams.stream_id.$$;
COMMENT ON COLUMN snapshots.code_version IS
$$Version of the code that made the state. Another version's code does not read it.$$;
COMMENT ON COLUMN snapshots.version IS
$$Version of the last message of the stream that is in the state.$$;
COMMENT ON COLUMN snapshots.added_at IS $$When the state was saved, by the server's clock.$$;
COMMENT ON COLUMN snapshots.snapshot IS
$$Name of the code that made the state: 1 to 255 bytes.$$;
COMMENT ON COLUMN snapshots.state IS $$The state, any JSON value.$$;

CREATE TABLE stream_changes (
  stream_id bigint NOT NULL,
  changes bigint NOT NULL,
  CONSTRAINT stream_changes_stream_id_pkey PRIMARY KEY (stream_id),
  CONSTRAINT stream_changes_changes_check CHECK (changes >= 1)
);
COMMENT ON TABLE stream_changes IS
$$Counts how often messages of a stream were redacted, or all of them deleted. A state that a
program has made of the messages before such a change is neither saved nor continued after it.$$;
COMMENT ON COLUMN stream_changes.stream_id IS $$The stream, streams.stream_id.$$;
COMMENT ON COLUMN stream_changes.changes IS
$$How often messages of the stream were redacted, or all deleted.$$;

-- migrations/0009_scheduled.sql
-- breaking: no
-- Scheduled messages: written to their streams later, at a time of their own.
SET LOCAL lock_timeout = '3s';

CREATE TABLE scheduled_messages (
  message_id uuid NOT NULL,
  due_at timestamptz NOT NULL,
  scheduled_at timestamptz NOT NULL,
  scheduled_position bigint NOT NULL,
  stream text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  data jsonb NOT NULL,
  metadata jsonb,
  CONSTRAINT scheduled_messages_message_id_pkey PRIMARY KEY (message_id),
  CONSTRAINT scheduled_messages_due_at_check CHECK (isfinite(due_at)),
  CONSTRAINT scheduled_messages_stream_check CHECK (octet_length(stream) BETWEEN 1 AND 1000),
  CONSTRAINT scheduled_messages_type_check CHECK (octet_length(type) BETWEEN 1 AND 255),
  CONSTRAINT scheduled_messages_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);
CREATE INDEX scheduled_messages_due_at_scheduled_position_idx
  ON scheduled_messages (due_at, scheduled_position);
CREATE INDEX scheduled_messages_stream_due_at_scheduled_position_idx
  ON scheduled_messages (stream, due_at, scheduled_position);
COMMENT ON TABLE scheduled_messages IS
$$Keeps the messages that deliver_scheduled writes to their streams when they are due.$$;
COMMENT ON COLUMN scheduled_messages.message_id IS $$Id that the message will have.$$;
COMMENT ON COLUMN scheduled_messages.due_at IS $$When it is due, by the server's clock.$$;
COMMENT ON COLUMN scheduled_messages.scheduled_at IS $$When it was scheduled.$$;
COMMENT ON COLUMN scheduled_messages.scheduled_position IS
$$Its place among those that are due at the same time: a number of global_position_seq, which no
message gets.$$;
COMMENT ON COLUMN scheduled_messages.stream IS $$Stream that it will be written to.$$;
COMMENT ON COLUMN scheduled_messages.type IS $$Type of the message: 1 to 255 bytes.$$;
COMMENT ON COLUMN scheduled_messages.data IS $$Payload, any JSON value.$$;
COMMENT ON COLUMN scheduled_messages.metadata IS $$Metadata, a JSON object or NULL.$$;

-- migrations/0010_metadata.sql
-- breaking: no
-- Reads and subscriptions that choose messages by their metadata, and an index of correlation ids.
--
-- Not breaking: a function that takes one parameter more takes the calls of before too, and one
-- that returns one column more returns those of before. So earlier bodies and packages still work.

-- A handler locks messages and then subscriptions, or the other way round. To wait long for one of
-- them while another is held would deadlock with a handler, so this gives its locks back.
--
-- It builds the index only if writers need not wait for long: if the table is small, and its lock
-- can be had. Otherwise the owner builds it beside the writers (docs/operations/upgrades.md), and
-- read_correlated refuses to read until then.
DO $$
DECLARE
  indexes boolean := pg_relation_size('messages') <= 67108864;
  -- An earlier migration in this transaction has locked streams. A writer that has a lock on
  -- messages can wait for it, and would deadlock with a transaction that waits for messages.
  held boolean := EXISTS (
    SELECT
    FROM pg_locks AS l
    WHERE l.pid = pg_backend_pid()
      AND l.relation = 'streams'::regclass
      AND l.mode = 'AccessExclusiveLock'
  );
BEGIN
  FOR attempt IN 1..20 LOOP
    indexes := indexes AND attempt <= 10;
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      IF indexes AND held THEN
        LOCK TABLE messages IN SHARE MODE NOWAIT;
      ELSIF indexes THEN
        LOCK TABLE messages IN SHARE MODE;
      END IF;
      LOCK TABLE subscriptions IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION
      WHEN lock_not_available THEN
        IF attempt = 20 THEN
          RAISE;
        END IF;
        PERFORM pg_sleep(0.1 * random());
    END;
  END LOOP;
  IF indexes THEN
    CREATE INDEX messages_correlation_id_global_position_idx
      ON messages (((metadata ->> 'correlation_id') COLLATE "C"), global_position)
      WHERE octet_length(metadata ->> 'correlation_id') <= 255;
  END IF;
END
$$;
SET LOCAL lock_timeout = '3s';

ALTER TABLE subscriptions
  ADD COLUMN metadata jsonb,
  ADD CONSTRAINT subscriptions_metadata_check CHECK (jsonb_typeof(metadata) = 'object');
COMMENT ON COLUMN subscriptions.metadata IS
$$Object that the metadata of a message to read must contain, or NULL for all.$$;

-- These functions take or return the metadata now. One statement drops the last three, because one
-- of them calls another.
DROP FUNCTION IF EXISTS create_subscription(
  text, text[], text[], text, bigint, text, bigint, timestamptz, text, bigint, interval
);
DROP FUNCTION IF EXISTS list_subscriptions();
DROP FUNCTION IF EXISTS
  _range_of_several(text[], bigint, bigint, bigint, text[], text, bigint, bigint, text),
  _range_of_category(text, bigint, bigint, bigint, text[], text, bigint, bigint, text),
  _range_of_all(bigint, bigint, bigint, text[], text, bigint, bigint, text);

-- repeat.sql
-- Begins what every installation and upgrade applies again. Each migration before it has set a time
-- limit of its own. These files change no table: an upgrade that waits for a lock here gives up
-- soon.
SET LOCAL lock_timeout = '3s';

-- functions/checks/_long_as_text.sql
CREATE OR REPLACE FUNCTION _long_as_text(
  value jsonb
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  length bigint;
BEGIN
  length := octet_length(value::text)::bigint;
  -- A copy, because the size of a compressed value tells nothing.
  RETURN length > 65536
    AND length > least(268435456, 32 * pg_column_size(jsonb_path_query_first(value, '$'))::bigint);
EXCEPTION
  WHEN program_limit_exceeded THEN
    RETURN true;  -- longer than any text can be
END
$$;

COMMENT ON FUNCTION _long_as_text(jsonb) IS
$$Internal: whether the text of a value is longer than 256 MB, or longer than 64 KB and than 32
times the value.$$;

-- functions/checks/_nested_too_deep.sql
CREATE OR REPLACE FUNCTION _nested_too_deep(
  value jsonb
)
RETURNS boolean
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN (
  -- Each array or object in another one takes 8 bytes or more: a small value is not looked through.
  -- The size of a compressed one tells nothing.
  (pg_column_size(value) > 800 OR pg_column_compression(value) IS NOT NULL)
  AND jsonb_path_exists(value, 'strict $.**{100} ? (@.type() == "array" || @.type() == "object")')
);

COMMENT ON FUNCTION _nested_too_deep(jsonb) IS
$$Internal: whether a value has more than 100 arrays and objects in one another. Readers of other
languages, and pydantic, refuse what is nested deeper than some hundred.$$;

-- functions/checks/_payload_problem.sql
CREATE OR REPLACE FUNCTION _payload_problem(
  value jsonb
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN CASE
  -- Most metadata. Without this NULL gets to _long_as_text, a tenth of the time of a batch.
  WHEN value IS NULL THEN NULL
  WHEN _nested_too_deep(value) THEN 'must have at most 100 arrays and objects in one another'
  -- The text of most payloads is not made: that would take a quarter of the time of a write. 16 KB
  -- hold 1400 numbers, which are less than 200 MB.
  WHEN (pg_column_size(value) > 16384 OR pg_column_compression(value) IS NOT NULL)
    AND _long_as_text(value)
    THEN 'must not be that much longer as a text, as numbers such as 1e131071 are'
END;

COMMENT ON FUNCTION _payload_problem(jsonb) IS
$$Internal: why no message can have this payload or metadata; NULL if it can. Readers get the text
of a value: PostgreSQL cannot make one of a gigabyte, and then no reader comes past the message. A
value of more than 16 KB is refused if its text is longer than 256 MB, or longer than 64 KB and than
32 times the value.$$;

-- functions/checks/_refuse_argument.sql
CREATE OR REPLACE FUNCTION _refuse_argument(
  argument text,
  reason text,
  detail jsonb DEFAULT '{}'
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Not IMMUTABLE: the planner would raise for constant arguments, whether or not they are reached.
  RAISE EXCEPTION USING
    ERRCODE = 'invalid_parameter_value',
    -- As JSON, which has no control characters; shortened.
    MESSAGE = format('%s %s', argument, reason)
      || coalesce(', not ' || left((detail -> argument)::text, 60), '')
      || CASE WHEN length((detail -> argument)::text) > 60 THEN '…' ELSE '' END,
    DETAIL = jsonb_build_object('argument', argument, 'reason', reason) || detail,
    HINT = 'The description of the function says what it takes.';
END
$$;

COMMENT ON FUNCTION _refuse_argument(text, text, jsonb) IS
$$Internal: raise 22023 for an argument, with {"argument", "reason", …} as DETAIL. The message shows
the value, shortened, if detail has it under the argument's name.$$;

-- functions/checks/_refuse_filter.sql
CREATE OR REPLACE FUNCTION _refuse_filter(
  partition bigint,
  partitions bigint,
  partition_by text,
  stream_pattern text
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF partitions < 1 OR partitions > 65536 THEN
    PERFORM _refuse_value('partitions', 'must be between 1 and 65536', to_jsonb(partitions));
  ELSIF (partition IS NULL) <> (partitions IS NULL)
    OR partition NOT BETWEEN 0 AND partitions - 1
  THEN
    PERFORM _refuse_argument(
      'partition', 'must be between 0 and partitions - 1, both given or none',
      jsonb_build_object('partition', partition, 'partitions', partitions)
    );
  ELSIF (
    partition_by COLLATE "C" IN ('stream', 'cardinal_id')
    OR partition_by COLLATE "C" LIKE 'metadata:_%'
  ) IS NOT TRUE THEN
    PERFORM _refuse_value(
      'partition_by', 'must be stream, cardinal_id or metadata:<key>', to_jsonb(partition_by)
    );
  ELSIF (length(stream_pattern) - length(rtrim(stream_pattern, chr(92)))) % 2 = 1 THEN
    PERFORM _refuse_value(
      'stream_pattern', 'must not end with a single backslash', to_jsonb(stream_pattern)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_filter(bigint, bigint, text, text) IS
$$Internal: raise 22023 unless these say which messages to read.$$;

-- functions/checks/_refuse_floors.sql
CREATE OR REPLACE FUNCTION _refuse_floors(
  streams text[],
  floors bigint[],
  reached_versions bigint[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  IF cardinality(streams) IS DISTINCT FROM cardinality(floors)
    OR cardinality(reached_versions) <> cardinality(streams)
  THEN
    PERFORM _refuse_argument('floors', 'must be arrays of the same length');
  END IF;
  SELECT
    g.n - 1 AS index, g.stream, g.floor,
    g.floor BETWEEN 1 AND bigint '4611686018427387904' AS floor_fits
  INTO bad
  FROM unnest(streams, floors) WITH ORDINALITY AS g (stream, floor, n)
  WHERE (
    octet_length(g.stream) BETWEEN 1 AND 1000
    -- Beyond it must be room for the versions of all messages to come.
    AND g.floor BETWEEN 1 AND bigint '4611686018427387904'
  ) IS NOT TRUE
  ORDER BY g.n
  LIMIT 1;
  IF bad.floor_fits THEN
    PERFORM _refuse_argument(
      'stream', 'must be a name of 1 to 1000 bytes',
      jsonb_build_object('index', bad.index, 'stream', bad.stream)
    );
  ELSIF FOUND THEN
    PERFORM _refuse_argument(
      'floor', 'must be 1 or more, and 4611686018427387904 at most',
      jsonb_build_object('index', bad.index, 'floor', bad.floor)
    );
  END IF;

  SELECT g.n - 1 AS index, g.stream, g.floor, v.version INTO bad
  FROM unnest(streams, floors, reached_versions) WITH ORDINALITY
    AS g (stream, floor, reached_version, n)
  LEFT JOIN LATERAL _import_version(g.stream) AS p ON true
  CROSS JOIN LATERAL greatest(p.version, g.reached_version) AS v (version)
  WHERE v.version BETWEEN 1 AND g.floor - 1
  ORDER BY g.n
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS001',
      MESSAGE = format(
        'stream %s is at version %s, what was cut off up to version %s is missing in it',
        bad.stream, bad.version, bad.floor
      ),
      DETAIL = json_build_object(
        'stream', bad.stream, 'expected_version', bad.floor, 'actual_version', bad.version,
        'index', bad.index
      )::text,
      HINT = 'The stream was cut off since the messages here were imported. Nothing was stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_floors(text[], bigint[], bigint[]) IS
$$Internal: raise 22023 or MS001 for the first floor that cannot be imported; return if all can.
reached_versions has the version that earlier batches would bring each stream to; NULL where the
store knows.$$;

-- functions/checks/_refuse_import.sql
CREATE OR REPLACE FUNCTION _refuse_import(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  added_at timestamptz[],
  global_positions bigint[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  IF coalesce(cardinality(streams), 0) = 0 THEN
    PERFORM _refuse_argument('messages', 'must not be empty');
  ELSIF cardinality(versions) IS DISTINCT FROM cardinality(streams)
    OR cardinality(types) IS DISTINCT FROM cardinality(streams)
    OR cardinality(data) IS DISTINCT FROM cardinality(streams)
    OR cardinality(metadata) <> cardinality(streams)
    OR cardinality(message_ids) IS DISTINCT FROM cardinality(streams)
    OR cardinality(added_at) IS DISTINCT FROM cardinality(streams)
    OR cardinality(global_positions) <> cardinality(streams)
  THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;

  SELECT
    m.n - 1 AS index,
    CASE
      WHEN octet_length(m.stream) BETWEEN 1 AND 1000 IS NOT TRUE THEN 'stream'
      WHEN m.version >= 1 IS NOT TRUE THEN 'version'
      WHEN octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE THEN 'type'
      WHEN m.data IS NULL OR _payload_problem(m.data) IS NOT NULL THEN 'data'
      WHEN jsonb_typeof(m.metadata) <> 'object' OR _payload_problem(m.metadata) IS NOT NULL
        THEN 'metadata'
      WHEN m.message_id IS NULL THEN 'message_id'
      WHEN _time_fits(m.added_at) IS NOT TRUE THEN 'added_at'
      ELSE 'global_position'
    END AS argument,
    CASE
      WHEN m.data IS NOT NULL THEN coalesce(_payload_problem(m.data), _payload_problem(m.metadata))
    END AS problem,
    m.stream, m.version, m.type, jsonb_typeof(m.metadata) AS metadata_type, m.added_at,
    m.global_position
  INTO bad
  FROM unnest(
    streams, versions, types, data, metadata, message_ids, added_at, global_positions,
    -- The messages before each.
    ARRAY[0] || global_positions
  ) WITH ORDINALITY AS m (
    stream, version, type, data, metadata, message_id, added_at, global_position, position_before, n
  )
  WHERE m.n <= cardinality(streams)
    AND (
      octet_length(m.stream) BETWEEN 1 AND 1000 IS NOT TRUE
      OR m.version >= 1 IS NOT TRUE
      OR octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE
      OR m.data IS NULL
      OR jsonb_typeof(m.metadata) <> 'object'
      OR _payload_problem(m.data) IS NOT NULL
      OR _payload_problem(m.metadata) IS NOT NULL
      OR m.message_id IS NULL
      OR _time_fits(m.added_at) IS NOT TRUE
      OR (global_positions IS NOT NULL AND m.global_position > m.position_before IS NOT TRUE)
    )
  ORDER BY m.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      bad.argument,
      CASE
        WHEN bad.argument = 'stream' THEN 'must be a name of 1 to 1000 bytes'
        WHEN bad.argument = 'version' THEN 'must be 1 or more'
        WHEN bad.argument = 'type' THEN 'must be a name of 1 to 255 bytes'
        WHEN bad.problem IS NOT NULL THEN bad.problem
        WHEN bad.argument = 'data' THEN 'must be a JSON value, not NULL'
        WHEN bad.argument = 'metadata'
          THEN format('must be a JSON object or NULL, not a JSON %s', bad.metadata_type)
        WHEN bad.argument = 'message_id' THEN 'must be a UUID, not NULL'
        WHEN bad.argument = 'added_at'
          THEN 'must be between 0001-01-02 and 9999-12-30, in UTC'
        ELSE 'must be 1 or more, and more than that of the message before'
      END,
      jsonb_build_object('index', bad.index) || CASE bad.argument
        WHEN 'stream' THEN jsonb_build_object('stream', bad.stream)
        WHEN 'version' THEN jsonb_build_object('version', bad.version)
        WHEN 'type' THEN jsonb_build_object('type', bad.type)
        WHEN 'added_at' THEN jsonb_build_object('added_at', bad.added_at)
        WHEN 'global_position' THEN jsonb_build_object('global_position', bad.global_position)
        ELSE '{}'
      END
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_import(
  text[], bigint[], text[], jsonb[], jsonb[], uuid[], timestamptz[], bigint[]
) IS
$$Internal: raise 22023 for the first message of an import that is not one; return if all are.$$;

-- functions/checks/_refuse_isolation.sql
CREATE OR REPLACE FUNCTION _refuse_isolation()
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS004',
      MESSAGE = format(
        'this function runs under READ COMMITTED only, not under %s',
        upper(current_setting('transaction_isolation'))
      ),
      DETAIL = json_build_object('isolation', current_setting('transaction_isolation'))::text,
      HINT = 'The transaction''s snapshot can be older than what was written since, so messages '
        'could be passed over. Use READ COMMITTED.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_isolation() IS
$$Internal: raise MS004 unless the transaction runs under READ COMMITTED.$$;

-- functions/checks/_refuse_kind.sql
CREATE OR REPLACE FUNCTION _refuse_kind(
  kind text,
  categories text[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF _granted_names(kind) IS NULL THEN
    PERFORM _refuse_value('kind', 'must be read, write, consume, monitor or admin', to_jsonb(kind));
  ELSIF categories IS NOT NULL AND kind <> 'write'
    OR cardinality(categories) = 0
    OR array_ndims(categories) > 1
    OR array_position(categories, NULL) IS NOT NULL
    OR EXISTS (
      SELECT
      FROM unnest(_refuse_kind.categories) AS c (category)
      WHERE category(c.category) <> c.category COLLATE "C"
    )
  THEN
    PERFORM _refuse_value(
      'categories', 'must be names of categories, or NULL for all; only write has any',
      to_jsonb(categories)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_kind(text, text[]) IS
$$Internal: raise 22023 unless this is a kind of rights that can be granted for these categories.$$;

-- functions/checks/_refuse_lease.sql
CREATE OR REPLACE FUNCTION _refuse_lease(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'MS020',
    MESSAGE = format(
      'the lease on partition %s of subscription %s is lost', partition, subscription
    ),
    DETAIL = json_build_object(
      'subscription', subscription, 'partition', partition, 'token', token
    )::text,
    HINT = 'Roll back: somebody else has, or had, the partition. Claim again.';
END
$$;

COMMENT ON FUNCTION _refuse_lease(text, bigint, bigint) IS $$Internal: raise MS020.$$;

-- functions/checks/_refuse_message_ids.sql
CREATE OR REPLACE FUNCTION _refuse_message_ids(
  message_ids uuid[],
  streams text[],
  versions bigint[],
  places bigint[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  SELECT
    coalesce(g.place, g.n) - 1 AS index,
    g.message_id,
    coalesce(a.stream, g.earlier_stream) AS stream,
    coalesce(a.version, g.earlier_version) AS version,
    a.global_position
  INTO bad
  FROM (
    SELECT
      u.n, u.place, u.message_id, lag(u.stream) OVER w AS earlier_stream,
      lag(u.version) OVER w AS earlier_version
    FROM unnest(message_ids, streams, versions, places) WITH ORDINALITY
      AS u (message_id, stream, version, place, n)
    WINDOW w AS (PARTITION BY u.message_id ORDER BY u.n)
  ) AS g
  LEFT JOIN LATERAL (
    SELECT
      (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id) AS stream, m.version,
      m.global_position
    FROM messages AS m
    WHERE m.message_id = g.message_id
    LIMIT 1
  ) AS a ON true
  WHERE g.earlier_stream IS NOT NULL OR a.stream IS NOT NULL
  ORDER BY g.n
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS002',
      MESSAGE = format(
        'message id %s is already used at version %s of stream %s',
        bad.message_id, bad.version, bad.stream
      ),
      DETAIL = json_build_object(
        'message_id', bad.message_id, 'stream', bad.stream, 'version', bad.version,
        'global_position', bad.global_position, 'index', bad.index
      )::text,
      HINT = 'A message that is stored already is skipped only if it is the same, at the same '
        'version of the same stream. Nothing of this batch was stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_message_ids(uuid[], text[], bigint[], bigint[]) IS
$$Internal: raise MS002 for the first of these ids that is there twice, or used by another message;
return if none is. places has the place of each in the batch, from 1; NULL: as they stand.$$;

-- functions/checks/_refuse_metadata.sql
CREATE OR REPLACE FUNCTION _refuse_metadata(
  metadata jsonb
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF jsonb_typeof(metadata) <> 'object' THEN
    PERFORM _refuse_value('metadata', 'must be a JSON object, or NULL for all', metadata);
  ELSIF _payload_problem(metadata) IS NOT NULL THEN
    PERFORM _refuse_argument('metadata', _payload_problem(metadata));
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_metadata(jsonb) IS
$$Internal: raise 22023 for metadata that a subscription cannot choose messages by: no object, or an
object that no message can have, of which list_subscriptions may be unable to make a text.$$;

-- functions/checks/_refuse_missing_index.sql
CREATE OR REPLACE FUNCTION _refuse_missing_index()
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'object_not_in_prerequisite_state',
    MESSAGE = 'the index of correlation ids is missing, or not valid',
    DETAIL = json_build_object('index', 'messages_correlation_id_global_position_idx')::text,
    HINT = format(
      'The owner builds it beside the writers: DROP INDEX IF EXISTS %1$I.%2$I; '
        'CREATE INDEX CONCURRENTLY %2$I ON %1$I.messages '
        '(((metadata ->> ''correlation_id'') COLLATE "C"), global_position) '
        'WHERE octet_length(metadata ->> ''correlation_id'') <= 255;',
      current_schema(), 'messages_correlation_id_global_position_idx'
    );
END
$$;

COMMENT ON FUNCTION _refuse_missing_index() IS
$$Internal: raise 55000, with the statement that builds the index of correlation ids.$$;

-- functions/checks/_refuse_position.sql
CREATE OR REPLACE FUNCTION _refuse_position(
  global_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint := _drawn_position();
BEGIN
  IF global_position > last_position THEN
    IF EXISTS (SELECT FROM messages AS m WHERE m.global_position > last_position) THEN
      PERFORM _refuse_sequences();
    END IF;
    RAISE EXCEPTION USING
      ERRCODE = 'MS006',
      MESSAGE = format(
        'position %s is beyond %s, the last one of this store', global_position, last_position
      ),
      DETAIL = json_build_object(
        'position', global_position, 'last_position', last_position
      )::text,
      HINT = 'The reader has seen another history: before a failover to an asynchronous standby, '
        'before a backup was restored, or of a store that was made anew. Compare what it has with '
        'the messages, and go on after a position of this store.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_position(bigint) IS
$$Internal: raise MS006 if a reader's position is beyond the last one that was ever given out;
MS007 if messages are too.$$;

-- functions/checks/_refuse_redaction.sql
CREATE OR REPLACE FUNCTION _refuse_redaction(
  present jsonb,
  metadata jsonb
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- A subscription's checkpoints mean what they mean only as long as it stays in its partition.
  IF EXISTS (
    SELECT
    FROM subscriptions AS s
    WHERE s.partition_by LIKE 'metadata:%'
      AND present ->> substr(s.partition_by, 10)
        IS DISTINCT FROM _refuse_redaction.metadata ->> substr(s.partition_by, 10)
  ) THEN
    PERFORM _refuse_argument('metadata', 'must keep the key that a subscription partitions by');
  ELSIF EXISTS (
    SELECT
    FROM subscriptions AS s
    WHERE _refuse_redaction.metadata @> s.metadata AND (present @> s.metadata) IS NOT TRUE
  ) THEN
    -- A subscription that has passed the message would not hand it out any more.
    PERFORM _refuse_argument('metadata', 'must not be what a subscription chooses messages by');
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_redaction(jsonb, jsonb) IS
$$Internal: raise 22023 if a message with other metadata than its present one would be in another
partition of a subscription, or be chosen by one that does not choose it now. The caller has locked
its stream.$$;

-- functions/checks/_refuse_refilter.sql
CREATE OR REPLACE FUNCTION _refuse_refilter(
  source subscriptions,
  lowest bigint,
  furthest bigint,
  from_position bigint,
  safe bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  source.partitions := 1;  -- so that _subscription_has looks at the messages, not at what is listed
  IF from_position > safe THEN
    PERFORM _refuse_argument(
      'from_position', 'must not be beyond the safe position',
      jsonb_build_object('from_position', from_position, 'safe_position', safe)
    );
  ELSIF from_position < furthest THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_parameter_value',
      MESSAGE = format(
        'from_position %s was passed: subscription %s is at position %s', from_position,
        source.subscription, furthest
      ),
      DETAIL = json_build_object(
        'argument', 'from_position', 'reason', 'was passed', 'from_position', from_position,
        'subscription', source.subscription, 'position', furthest
      )::text,
      HINT = 'Leave it out: the subscription gains messages after its checkpoints. For the past, '
        'create a second subscription of another name with start_position.';
  ELSIF from_position > lowest
    AND _subscription_has(source, 0, lowest, from_position + 1)
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_parameter_value',
      MESSAGE = format(
        'from_position %s is not reached yet: subscription %s is at position %s', from_position,
        source.subscription, lowest
      ),
      DETAIL = json_build_object(
        'argument', 'from_position', 'reason', 'is not reached yet', 'from_position', from_position,
        'subscription', source.subscription, 'position', lowest
      )::text,
      HINT = 'Leave it out, or have the workers handle the messages up to there first.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_refilter(subscriptions, bigint, bigint, bigint, bigint) IS
$$Internal: raise 22023 unless all partitions of a subscription, which have reached positions from
lowest to furthest, can continue after from_position: they have handled what waited before, and
nothing after it. NULL is never refused.$$;

-- functions/checks/_refuse_restriction.sql
CREATE OR REPLACE FUNCTION _refuse_restriction(
  role text
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  others text[];
BEGIN
  -- From the first restricted role on, only what grant_access has granted counts: without this, a
  -- role that writes with rights of another origin would be locked out unasked.
  SELECT array_agg(DISTINCT r.rolname::text) INTO others
  FROM pg_proc AS p
  CROSS JOIN aclexplode(p.proacl) AS a
  JOIN pg_roles AS r ON r.oid = a.grantee
  WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
    AND p.proname IN ('write_message', 'write_messages', 'write_arrays', 'synchronize_stream')
    AND a.grantee <> p.proowner
    AND r.rolname <> _refuse_restriction.role
    AND NOT EXISTS (
      SELECT FROM grants AS g WHERE g.role = r.rolname AND g.kind IN ('write', 'admin')
    );
  IF others IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'other roles may write by rights that grant_access does not know',
      DETAIL = json_build_object('roles', others)::text,
      HINT = 'Grant each of them write first, or revoke their rights: once a role may write to '
        'some categories only, no other role writes without a grant of write or admin.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_restriction(text) IS
$$Internal: raise 55000 if to restrict this role would lock out others, which write by rights of
another origin.$$;

-- functions/checks/_refuse_sequences.sql
CREATE OR REPLACE FUNCTION _refuse_sequences()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  behind record;
BEGIN
  SELECT l.sequence, l.last_value, l.highest INTO behind
  FROM list_sequences() AS l
  WHERE l.last_value < l.highest
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS007',
      MESSAGE = format(
        'sequence %s is at %s, but the store holds %s', behind.sequence, behind.last_value,
        behind.highest
      ),
      DETAIL = json_build_object(
        'sequence', behind.sequence, 'last_value', behind.last_value, 'highest', behind.highest
      )::text,
      HINT = 'The tables were copied without their sequences, or a sequence was set back. The '
        'store''s owner calls repair_sequences(); until then every further try fails. Nothing was '
        'stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_sequences() IS
$$Internal: raise MS007 if a sequence of the store is behind the numbers that are stored. Without
it, a caller that meets a number in use would get an error that says to try again, for as many tries
as there are numbers.$$;

-- functions/checks/_refuse_session.sql
CREATE OR REPLACE FUNCTION _refuse_session(
  backend_pid integer
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF _refuse_session.backend_pid <> pg_backend_pid() THEN
    RAISE EXCEPTION USING
      ERRCODE = '55000',
      MESSAGE = 'this is not the session that the caller began in',
      DETAIL = json_build_object(
        'backend_pid', _refuse_session.backend_pid, 'actual_backend_pid', pg_backend_pid()
      ),
      HINT = 'A pooler gives a session to each transaction or statement: poll instead of sleeping.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_session(integer) IS
$$Internal: raise 55000 unless the server process is this one; NULL passes.$$;

-- functions/checks/_refuse_stranger.sql
CREATE OR REPLACE FUNCTION _refuse_stranger(
  name text
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  caller text := _acting_role();
  strays boolean;
  entitled boolean;
BEGIN
  -- The server has let the caller in by an entry of the function's rights. One of PUBLIC, or of
  -- another role where the function is the owner's, may come from a restore or from default
  -- privileges: while there is one, the caller has to have another entry.
  SELECT
    bool_or(NOT e.counts),
    bool_or(CASE WHEN e.counts THEN pg_has_role(caller, e.grantee, 'USAGE') END)
  INTO strays, entitled
  FROM (
    SELECT
      a.grantee,
      a.grantee = p.proowner
        OR (a.grantee <> 0 AND p.proname = ANY (_granted_names('admin'))) AS counts
    FROM pg_proc AS p
    CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname = _refuse_stranger.name
  ) AS e;
  IF strays AND entitled IS NOT TRUE THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('permission denied for function %s', name),
      DETAIL = json_build_object('role', caller, 'function', name)::text,
      HINT = 'The store is open to roles that were granted nothing, as after a restore without '
        'rights: install it again, then grant rights again.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_stranger(text) IS
$$Internal: raise 42501 if the caller may execute a function only because PUBLIC may, or because a
role may that is not the owner's where the function is. Functions for the owner and administrators
call it first, and those that change subscriptions for good.$$;

-- functions/checks/_refuse_target.sql
CREATE OR REPLACE FUNCTION _refuse_target(
  stream text,
  stream_id bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  caller text := _acting_role();
BEGIN
  IF _writers_restricted() AND NOT _may_write(caller, category(stream)) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('role %s may not write to category %s', caller, category(stream)),
      DETAIL = json_build_object(
        'role', caller, 'stream', stream, 'category', category(stream)
      )::text,
      HINT = 'Nothing was stored. grant_access gives a role the right to write, to some categories '
        'or to all.';
  END IF;

  -- A snapshot for the whole transaction may be older than messages that were written and cut off
  -- since: no unique index knows those versions any more. Locking the row raises 40001 then.
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    PERFORM FROM streams AS s WHERE s.stream_id = _refuse_target.stream_id FOR SHARE;
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_target(text, bigint) IS
$$Internal: raise 42501 if the caller may not write to the stream's category; 40001 if the stream
was cut off after the transaction's snapshot.$$;

-- functions/checks/_refuse_value.sql
CREATE OR REPLACE FUNCTION _refuse_value(
  argument text,
  reason text,
  value jsonb
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_argument(argument, reason, jsonb_build_object(argument, value));
END
$$;

COMMENT ON FUNCTION _refuse_value(text, text, jsonb) IS
$$Internal: raise 22023 for an argument as _refuse_argument does, with its value in DETAIL.$$;

-- functions/checks/_refuse_version.sql
CREATE OR REPLACE FUNCTION _refuse_version(
  stream text,
  stream_id bigint,
  actual_version bigint,
  expected_version bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF (expected_version <> actual_version) IS NOT TRUE THEN
    -- The place after the version was free, so it was the position that was in use.
    PERFORM _refuse_sequences();
    RAISE EXCEPTION USING
      ERRCODE = 'serialization_failure',
      MESSAGE = format('stream %s was written to without its lock', stream),
      HINT = 'Try again. Write only through the store''s functions.';
  END IF;

  -- A snapshot for the whole transaction may be too old to tell the stream's version. Then the
  -- place after it is taken, and inserting there raises 40001. If not, the row goes with the error
  -- below. For a stream that is not there, creating it tells the same.
  IF current_setting('transaction_isolation') = 'read committed' THEN
    NULL;
  ELSIF stream_id IS NULL THEN
    PERFORM _create_stream(stream);
  ELSE
    -- Or it was written and cut off since, which only its row knows: locking it raises 40001 then.
    PERFORM FROM streams AS s WHERE s.stream_id = _refuse_version.stream_id FOR SHARE;
    INSERT INTO messages (
      global_position, stream_id, version, category_key, added_at, message_id, type, data
    )
    VALUES (
      nextval('global_position_seq'), _refuse_version.stream_id, actual_version + 1, 0,
      clock_timestamp(), gen_random_uuid(), 'probe', 'null'
    )
    ON CONFLICT DO NOTHING;
  END IF;

  RAISE EXCEPTION USING
    ERRCODE = 'MS001',
    MESSAGE = format(
      'stream %s is at version %s, expected version %s', stream, actual_version, expected_version
    ),
    DETAIL = json_build_object(
      'stream', stream, 'expected_version', expected_version, 'actual_version', actual_version
    )::text,
    HINT = 'Read the stream again, decide again, and write with the version you have read. Nothing '
      'was stored.';
END
$$;

COMMENT ON FUNCTION _refuse_version(text, bigint, bigint, bigint) IS
$$Internal: raise MS001, or 40001 if the transaction's snapshot is too old to know the version;
MS007 if a position that was drawn is in use.$$;

-- functions/checks/_refuse_write.sql
CREATE OR REPLACE FUNCTION _refuse_write(
  stream text,
  expected_version bigint,
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  IF stream IS NULL OR octet_length(stream) NOT BETWEEN 1 AND 1000 THEN
    PERFORM _refuse_value('stream', 'must be a name of 1 to 1000 bytes', to_jsonb(stream));
  ELSIF expected_version < 0 THEN
    PERFORM _refuse_value(
      'expected_version', 'must be NULL (any version), 0 (an empty stream) or a version',
      to_jsonb(expected_version)
    );
  ELSIF coalesce(cardinality(types), 0) = 0 THEN
    PERFORM _refuse_argument('messages', 'must not be empty');
  ELSIF cardinality(data) IS DISTINCT FROM cardinality(types)
    OR cardinality(metadata) <> cardinality(types)
    OR cardinality(message_ids) <> cardinality(types)
  THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;

  SELECT
    m.n - 1 AS index,
    CASE
      WHEN octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE THEN 'type'
      WHEN m.data IS NULL OR _payload_problem(m.data) IS NOT NULL THEN 'data'
      ELSE 'metadata'
    END AS argument,
    m.type,
    jsonb_typeof(m.metadata) AS metadata_type,
    CASE
      WHEN m.data IS NOT NULL THEN coalesce(_payload_problem(m.data), _payload_problem(m.metadata))
    END AS problem
  INTO bad
  FROM unnest(types, data, metadata) WITH ORDINALITY AS m (type, data, metadata, n)
  WHERE octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE
    OR m.data IS NULL
    OR jsonb_typeof(m.metadata) <> 'object'
    OR _payload_problem(m.data) IS NOT NULL
    OR _payload_problem(m.metadata) IS NOT NULL
  ORDER BY m.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      bad.argument,
      CASE
        WHEN bad.argument = 'type' THEN 'must be a name of 1 to 255 bytes'
        WHEN bad.problem IS NOT NULL THEN bad.problem
        WHEN bad.argument = 'data' THEN 'must be a JSON value, not NULL'
        ELSE format(
          'must be a JSON object, as {"key": "value"}, or NULL, not a JSON %s', bad.metadata_type
        )
      END,
      jsonb_build_object('index', bad.index)
        || CASE WHEN bad.argument = 'type' THEN jsonb_build_object('type', bad.type) ELSE '{}' END
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_write(text, bigint, text[], jsonb[], jsonb[], uuid[]) IS
$$Internal: raise 22023 for the first argument of a write that is wrong; return if none is.$$;

-- functions/checks/_time_fits.sql
CREATE OR REPLACE FUNCTION _time_fits(
  moment timestamptz
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN _time_fits.moment >= timestamptz '0001-01-02 00:00:00+00'
  AND _time_fits.moment < timestamptz '9999-12-31 00:00:00+00';

COMMENT ON FUNCTION _time_fits(timestamptz) IS
$$Internal: tell whether a message may have this time: within the years 1 to 9999 in every time
zone, so that every client can read it. NULL for NULL.$$;

-- functions/in_flight/_announce_write.sql
CREATE OR REPLACE FUNCTION _announce_write()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint := _drawn_position();
  -- Anybody may set it, to anything.
  mark bigint := substring(current_setting(_mark_setting(), true) FROM '^[0-9]{1,18}$')::bigint;
BEGIN
  -- At position 0 _enter_flight has more to do.
  IF (last_position > 0 AND mark BETWEEN 0 AND last_position) IS NOT TRUE THEN
    -- Not known to be in flight: also when the message before was written by the caller's fast path
    -- (one mark more does no harm), and after a savepoint that held the mark was rolled back. And
    -- when the setting cannot be true: a bound above the last position is too high.
    PERFORM set_config(_mark_setting(), last_position::text, true);
    IF NOT _enter_flight() THEN
      PERFORM _notify_sleepers();
    END IF;
  ELSE
    -- The setting only says which mark to take: taking one that is held costs little.
    PERFORM _take_mark(mark);
  END IF;
END
$$;

COMMENT ON FUNCTION _announce_write() IS
$$Internal: make sure that a transaction that has written before, here or elsewhere, holds its
in-flight mark and has tested the bell. At most two marks a transaction and store.$$;

-- functions/in_flight/_begin_mark.sql
CREATE OR REPLACE FUNCTION _begin_mark()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint := _drawn_position();
BEGIN
  IF last_position >= 274877906944 THEN
    -- As _take_mark: the higher bits first.
    PERFORM pg_advisory_xact_lock_shared(_mark_lock_class() + 64, (last_position >> 38)::integer);
    RETURN false;
  END IF;
  -- Before a position is drawn: so each further try is refused too, until the sequence is repaired.
  -- Otherwise one would be stored in a gap before stored messages, which readers have passed.
  IF EXISTS (
    SELECT FROM list_sequences() AS l
    WHERE l.sequence = 'global_position_seq' AND l.last_value < l.highest
  ) THEN
    PERFORM _refuse_sequences();
  END IF;
  -- After a RESTART by hand the next position is 0 or lower. Readers begin after position 0.
  WHILE coalesce(pg_sequence_last_value('global_position_seq'), -1) < 0 LOOP
    PERFORM nextval('global_position_seq');
  END LOOP;
  RETURN false;
END
$$;

COMMENT ON FUNCTION _begin_mark() IS
$$Internal: take the part of a mark that holds the bits above 2^38; or, where at most 1000 positions
were drawn, raise MS007 if higher ones are stored, and see to it that the next one is 1 or more.
Return false. Separate from _enter_flight, so that all other writes do without.$$;

-- functions/in_flight/_drawn_position.sql
CREATE OR REPLACE FUNCTION _drawn_position()
RETURNS bigint
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN coalesce(pg_sequence_last_value('global_position_seq'), 0);

COMMENT ON FUNCTION _drawn_position() IS
$$Internal: return the last global position that the sequence gave out; 0 if it gave none. The
sequence itself says NULL then: a writer that computes with NULL takes no in-flight mark. Inlined
into its callers, hence without a search_path of its own.$$;

-- functions/in_flight/_enter_flight.sql
CREATE OR REPLACE FUNCTION _enter_flight()
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN
  -- _take_mark(_drawn_position()), written out because this is inlined.
  -- The mark comes before the first nextval, so that it bounds every position that this transaction
  -- can still get. Each part is read anew, the higher bits first: if the sequence moves between two
  -- of them, the bound is too low, never too high.
  -- In the first 1000 positions, and from 2^38 on, there is more to do: one comparison for both.
  (abs(_drawn_position() - 137438953972) >= 137438952972 AND _begin_mark())
  OR pg_advisory_xact_lock_shared(
    _mark_lock_class() + (_drawn_position() >> 32 & 63)::integer,
    _drawn_position()::bit(32)::integer
  ) IS NULL
  -- One of four gates, so that writers do not all wait for one lock's memory.
  OR pg_advisory_xact_lock_shared(_gate_lock_class(), pg_backend_pid() % 4) IS NULL
  -- The bell comes after the mark: a reader does it the other way round, so one sees the other. A
  -- bell key is taken and given back in one expression, which nothing can interrupt half-way.
  OR (
    pg_try_advisory_lock(_bell_lock_class(), pg_backend_pid() % 16)
    AND pg_advisory_unlock(_bell_lock_class(), pg_backend_pid() % 16)
  );

COMMENT ON FUNCTION _enter_flight() IS
$$Internal: take the in-flight mark of this transaction, enter a gate and test the bell; false if a
session waits for a notification. Inlined into its callers, hence without a search_path of its
own.$$;

-- functions/in_flight/_gates_free.sql
CREATE OR REPLACE FUNCTION _gates_free()
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN
  -- Each gate is taken and given back in one expression, which nothing can interrupt half-way: a
  -- writer that comes to it meanwhile waits for that instant.
  pg_try_advisory_lock(_gate_lock_class(), 0) AND pg_advisory_unlock(_gate_lock_class(), 0)
  AND pg_try_advisory_lock(_gate_lock_class(), 1) AND pg_advisory_unlock(_gate_lock_class(), 1)
  AND pg_try_advisory_lock(_gate_lock_class(), 2) AND pg_advisory_unlock(_gate_lock_class(), 2)
  AND pg_try_advisory_lock(_gate_lock_class(), 3) AND pg_advisory_unlock(_gate_lock_class(), 3);

COMMENT ON FUNCTION _gates_free() IS
$$Internal: true if no other transaction is in flight. False tells nothing: another reader may try
at the same moment. A gate that this session holds itself passes for a free one. Inlined into its
caller, hence without a search_path of its own.$$;

-- functions/in_flight/_notify_sleepers.sql
CREATE OR REPLACE FUNCTION _notify_sleepers()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- PostgreSQL cannot prepare a transaction that has notified: a program with two-phase commit sets
  -- this, and waiting readers find the message at their next fallback poll.
  IF lower(current_setting('pgstore.notify', true)) IN ('off', 'false', 'no', '0') IS NOT TRUE THEN
    PERFORM pg_notify(wake_channel(), '');
  END IF;
END
$$;

COMMENT ON FUNCTION _notify_sleepers() IS
$$Internal: notify the waiting readers when this transaction commits. Not if the setting
pgstore.notify is off.$$;

-- functions/in_flight/_open_marks.sql
CREATE OR REPLACE FUNCTION _open_marks()
RETURNS TABLE (
  virtualtransaction text,
  pid integer,
  after_position bigint
)
LANGUAGE sql
STABLE
PARALLEL UNSAFE
BEGIN ATOMIC
  SELECT
    l.virtualtransaction,
    l.pid,
    -- Parts that belong to different marks of a transaction give a bound that is too low, which is
    -- safe. Without the lock for the highest bits, these are 0.
    (coalesce(min(l.key) FILTER (WHERE l.class = 64), 0) << 38)
      + min(l.class << 32 | l.key) FILTER (WHERE l.class < 64)
  FROM (
    SELECT
      a.virtualtransaction, a.pid, a.objid::bigint AS key,
      (a.classid::bigint - _mark_lock_class()) & 4294967295 AS class
    FROM pg_locks AS a
    WHERE a.locktype = 'advisory'
      AND a.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND a.objsubid = 2
  ) AS l
  WHERE l.class <= 64
  GROUP BY l.virtualtransaction, l.pid
  HAVING min(l.class) < 64;
END;

COMMENT ON FUNCTION _open_marks() IS
$$Internal: the open transactions that have an in-flight mark, and the position after which each may
still write. pid is NULL for a prepared transaction. Inlined into its callers, hence without a
search_path of its own.$$;

-- functions/in_flight/_take_mark.sql
CREATE OR REPLACE FUNCTION _take_mark(
  after_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Bits 0 to 31 of the position are the key, bits 32 to 37 choose the class. From 2^38 on, a lock
  -- in a class of its own holds the bits above; it comes first: no mark is seen without it.
  IF after_position >= 274877906944 THEN
    PERFORM pg_advisory_xact_lock_shared(_mark_lock_class() + 64, (after_position >> 38)::integer);
  END IF;
  PERFORM pg_advisory_xact_lock_shared(
    _mark_lock_class() + (after_position >> 32 & 63)::integer, after_position::bit(32)::integer
  );
  -- As _enter_flight. A savepoint can have taken it back.
  PERFORM pg_advisory_xact_lock_shared(_gate_lock_class(), pg_backend_pid() % 4);
END
$$;

COMMENT ON FUNCTION _take_mark(bigint) IS
$$Internal: take the in-flight mark that says: this transaction may still write after this position;
and enter a gate. Taking what is held costs little. _open_marks() reads the mark.$$;

-- functions/in_flight/_trust_gates.sql
CREATE OR REPLACE FUNCTION _trust_gates()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  installer bigint := hashtextextended('pgstore:install:' || current_schema() COLLATE "C", 0);
BEGIN
  -- One session at a time, until it commits; the others do without. The gates have keys 0 to 3.
  IF current_setting('transaction_read_only')::boolean
    OR current_setting('transaction_isolation') <> 'read committed'
    OR NOT pg_try_advisory_xact_lock(_gate_lock_class(), 4)
  THEN
    RETURN;
  END IF;
  IF NOT EXISTS (SELECT FROM gate_waits) THEN
    -- A commit is visible before other sessions learn that functions have changed. A transaction
    -- that begins in between would be missed, and would write by the functions of before. The
    -- upgrade gives back the installer's key after both.
    IF pg_try_advisory_lock_shared(installer) AND pg_advisory_unlock_shared(installer) THEN
      -- With this transaction, which may have begun before the upgrade too. DISTINCT: pg_locks can
      -- list a lock twice that is just moved out of its session's fast path.
      INSERT INTO gate_waits (virtual_transaction)
      SELECT DISTINCT l.virtualxid FROM pg_locks AS l WHERE l.locktype = 'virtualxid' AND l.granted;
    END IF;
    RETURN;
  END IF;
  IF EXISTS (
    SELECT
    FROM pg_locks AS l
    JOIN gate_waits AS w ON w.virtual_transaction = l.virtualxid
    WHERE l.locktype = 'virtualxid' AND l.granted
  ) THEN
    RETURN;
  END IF;
  -- Afterwards: one of them may have been prepared meanwhile. Then it has a mark, and no gate.
  IF EXISTS (
    SELECT
    FROM _open_marks() AS m
    WHERE m.pid IS NULL
      AND NOT EXISTS (
        SELECT
        FROM pg_locks AS l
        WHERE l.locktype = 'advisory'
          AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          AND l.classid::bigint = _gate_lock_class()::bigint & 4294967295
          AND l.objsubid = 2
          AND l.pid IS NULL
          AND l.virtualtransaction = m.virtualtransaction
      )
  ) THEN
    RETURN;
  END IF;
  PERFORM setval('gate_trust_seq', 1);
  DELETE FROM gate_waits;
END
$$;

COMMENT ON FUNCTION _trust_gates() IS
$$Internal: after the upgrade that brought the gates, note which transactions are open; later, when
all of these have ended, let readers trust the gates. Readers call it until then. Does nothing in a
transaction that cannot write, or whose snapshot may be old.$$;

-- functions/in_flight/fall_asleep.sql
CREATE OR REPLACE FUNCTION fall_asleep(
  backend_pid integer DEFAULT NULL,
  OUT safe_position bigint,
  OUT in_flight boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
-- A writer holds a bell key for an instant only. A session that holds one for longer is hostile or
-- broken: raise 55P03 instead of waiting for it.
SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_session(fall_asleep.backend_pid);
  -- First the bell, then the look: a writer takes its mark first and tests the bell then, so one of
  -- the two sees the other. Every key, because a writer tests one of them. For the transaction
  -- first: an error, here or in the look, gives the keys back.
  PERFORM pg_advisory_xact_lock_shared(_bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
  SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
  -- A writer that tested the bell before may have taken its position and have ended between the two
  -- looks of horizon(): its message is above safe_position, and no notification was sent.
  in_flight := in_flight OR _drawn_position() > safe_position;
  -- For the session then, without a wait: the transaction holds them.
  PERFORM pg_advisory_lock_shared(_bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
END
$$;

COMMENT ON FUNCTION fall_asleep(integer) IS
$$Announce that this session waits for a notification, and look once more. Call it in a reader that
has caught up, on a connection of its own that has run LISTEN on wake_channel(). If safe_position is
beyond the reader's position, call wake_up() and read. If in_flight is true, call wake_up() and look
again after some milliseconds. Otherwise wait for a notification, with a long time-out, then call
wake_up() and read. The announcement belongs to the session and ends with it. Call it only in a
session that a notification of another session has reached: a pooler may give the session to others.
Pass the pg_backend_pid() of that session: 55000 is raised in another one. Raises 55P03 if another
session holds a bell key for a second; then nothing is announced.$$;

-- functions/in_flight/horizon.sql
CREATE OR REPLACE FUNCTION horizon(
  OUT safe_position bigint,
  OUT in_flight boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint;
  lowest bigint;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS005',
      MESSAGE = 'a standby does not know which messages are in flight',
      HINT = 'Read across streams on the primary. Single streams can be read on a standby.';
  END IF;

  -- In this order: a writer that gets its position after the first step gets one above
  -- last_position, and a writer in flight at the second step is seen by its gate and its mark.
  last_position := _drawn_position();
  IF last_position = 0 THEN
    -- Not in one condition: that would look at the table each time.
    IF EXISTS (SELECT FROM messages AS m WHERE m.global_position > 0) THEN
      -- Tables were copied without their sequences: readers would take the store for an empty one.
      PERFORM _refuse_sequences();
    END IF;
  END IF;

  -- pg_locks walks over every session that the server may have. The gates tell of other sessions
  -- only, and a transaction that has written to the store has an id.
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    NULL;
  ELSIF pg_sequence_last_value('gate_trust_seq') IS NULL THEN
    PERFORM _trust_gates();
  ELSIF _gates_free() THEN
    safe_position := last_position;
    in_flight := false;
    RETURN;
  END IF;
  SELECT min(m.after_position) INTO lowest FROM _open_marks() AS m;

  safe_position := least(last_position, lowest);
  in_flight := lowest IS NOT NULL;
END
$$;

COMMENT ON FUNCTION horizon() IS
$$Tell how far the store can be read in its global order without passing a message in flight: every
position up to safe_position is visible to statements that begin after this one, or will never
exist. in_flight tells whether any transaction that writes is open. Read it as a statement of its
own under READ COMMITTED. Do not store safe_position outside the database: if the last writers
rolled back, a crash of the server may give their positions again; safe_position() can be stored.
Raises MS005 on a standby, MS007 if messages are stored and the sequence never gave a position.$$;

-- functions/in_flight/wake_up.sql
CREATE OR REPLACE FUNCTION wake_up(
  backend_pid integer DEFAULT NULL,
  OUT safe_position bigint,
  OUT in_flight boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_session(wake_up.backend_pid);
  PERFORM pg_advisory_unlock_shared(_bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
  SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
END
$$;

COMMENT ON FUNCTION wake_up(integer) IS
$$Take back one fall_asleep() of this session, and look how far the store can be read. Raises 55000
in another session than that of backend_pid, if it is given.$$;

-- functions/leases/_begin_lease.sql
CREATE OR REPLACE FUNCTION _begin_lease(
  source subscriptions,
  free subscription_partitions,
  token bigint,
  worker text,
  lease interval,
  swept_position bigint,
  max_count bigint
)
RETURNS subscription_partitions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  leased subscription_partitions;
BEGIN
  IF free.leased_until IS NOT NULL AND _count_lost_lease(
    source, free, 'the worker ended without releasing its lease'
  ) = 'stop' THEN
    leased.partition := free.partition;
    RETURN leased;
  END IF;
  UPDATE subscription_partitions AS p
  SET
    token = _begin_lease.token,
    worker = _begin_lease.worker,
    lease = _begin_lease.lease,
    leased_until = clock_timestamp() + _begin_lease.lease,
    -- The lease before, if it counts as a failure, has lasted longer than the pause would.
    retry_at = NULL,
    swept_position = _begin_lease.swept_position,
    leases = p.leases + 1,
    batch_size = greatest(p.batch_size, least(max_count, 1000)),
    server_started_at = pg_postmaster_start_time()
  WHERE p.subscription_id = source.subscription_id AND p.partition = free.partition
  RETURNING p.* INTO leased;
  RETURN leased;
END
$$;

COMMENT ON FUNCTION _begin_lease(
  subscriptions, subscription_partitions, bigint, text, interval, bigint, bigint
) IS
$$Internal: lease a partition that the caller has locked and found free, for a worker that
fetches max_count messages at once; return its row. A lease before that was neither given back nor
failed is counted. If that stops the partition, the row has no token.$$;

-- functions/leases/_claim_of.sql
CREATE OR REPLACE FUNCTION _claim_of(
  subscription text,
  worker text,
  lease interval,
  safe bigint
)
RETURNS TABLE (
  partition bigint,
  token bigint,
  checkpoint bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
  swept bigint;
BEGIN
  IF source.paused THEN
    RETURN;
  END IF;
  -- Not all at once: it holds up others, and this transaction.
  FOR looks IN 0..3 LOOP
    IF source.partitions = 1 THEN
      SELECT p.partition, p.token, p.checkpoint INTO partition, token, checkpoint
      FROM _lease_only_partition(source, _claim_of.worker, _claim_of.lease, safe) AS p;
      IF token IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
      ELSIF partition IS NULL THEN
        IF source.next_partitions IS NULL OR NOT _finish_repartition(source) THEN
          RETURN;
        END IF;
        source := _subscription_of(subscription);
      END IF;
      EXIT WHEN looks = 2;
      CONTINUE;
    END IF;

    SELECT w.swept_position INTO swept
    FROM subscription_sweeps AS w
    WHERE w.subscription_id = source.subscription_id;
    IF swept > safe THEN
      PERFORM _refuse_position(swept);
    END IF;
    SELECT p.partition, p.token, p.checkpoint INTO partition, token, checkpoint
    FROM _lease_partition(source, _claim_of.worker, _claim_of.lease) AS p;
    IF token IS NOT NULL THEN
      RETURN NEXT;
      RETURN;
    ELSIF partition IS NOT NULL THEN
      CONTINUE;
    END IF;
    IF source.next_partitions IS NOT NULL THEN
      IF NOT _finish_repartition(source) THEN
        RETURN;
      END IF;
      source := _subscription_of(subscription);
    ELSIF swept >= safe THEN
      RETURN;
    ELSIF looks = 3 OR NOT _sweep_subscription(source, safe) THEN
      EXIT;
    END IF;
  END LOOP;
  token := NULL;
  RETURN NEXT;
END
$$;

COMMENT ON FUNCTION _claim_of(text, text, interval, bigint) IS
$$Internal: lease a partition of a subscription that has work up to the safe position. No row: there
is nothing to do. A row without a token: there is more to look at, or others are just at it.$$;

-- functions/leases/_count_lost_lease.sql
CREATE OR REPLACE FUNCTION _count_lost_lease(
  source subscriptions,
  lost subscription_partitions,
  error text
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  first_position bigint;
  waiting bigint;
BEGIN
  -- A restart of the server, or a crash of one of its processes, which ends all sessions, has ended
  -- the worker's transactions. If the clock was ahead, how long the worker was silent is not known.
  IF lost.server_started_at IS DISTINCT FROM pg_postmaster_start_time()
    OR pg_stat_get_bgwriter_stat_reset_time()
      > to_timestamp(0) + lost.token * interval '1 microsecond'
    OR lost.leased_until > clock_timestamp() + lost.lease
  THEN
    RETURN NULL;
  END IF;
  -- A count that a crash of the server takes back would never reach the last attempt.
  -- Not on: the claim would wait for a synchronous standby that may be absent.
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'local', true);
  END IF;

  SELECT min(f.global_position), count(f.global_position) INTO first_position, waiting
  FROM fetch_batch(source.subscription, lost.partition, lost.token, 2) AS f;
  IF waiting = 0 THEN
    RETURN NULL;
  ELSIF waiting = 1 AND lost.leases > 0 THEN
    RETURN fail_message(
      source.subscription, lost.partition, lost.token, first_position, error
    );
  END IF;
  UPDATE subscription_partitions AS p
  SET alone = greatest(p.alone, p.batch_size, 1)
  WHERE p.subscription_id = source.subscription_id AND p.partition = lost.partition;
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION _count_lost_lease(subscriptions, subscription_partitions, text) IS
$$Internal: count a lease that ended without being given back, while the server continued: a message
that was handed out may have ended its worker. If one message was handed out alone, and the
checkpoint has not moved since the lease began, this is a failed attempt at it; return what follows,
as fail_message. If there were several, it is not known which: as many are handed out one at a time.
Return NULL if nothing was counted.$$;

-- functions/leases/_lease_only_partition.sql
CREATE OR REPLACE FUNCTION _lease_only_partition(
  source subscriptions,
  worker text,
  lease interval,
  safe bigint
)
RETURNS SETOF subscription_partitions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  free subscription_partitions;
  to_position bigint;
BEGIN
  SELECT p.* INTO free
  FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = 0
    -- It has none if the partitions have changed since the caller read the subscription.
    AND p.swept_position IS NOT NULL
    AND _may_lease(p.leased_until, p.lease, p.retry_at)
  FOR UPDATE SKIP LOCKED;
  IF free.partition IS NULL THEN
    RETURN;
  END IF;
  IF free.checkpoint > safe THEN
    PERFORM _refuse_position(free.checkpoint);
  END IF;
  IF source.next_partitions IS NOT NULL THEN
    safe := free.swept_position;  -- what was known to wait is dealt with first
  END IF;
  -- Only where types, streams or metadata are left out can it take long to find nothing.
  to_position := CASE
    WHEN source.types IS NULL AND source.stream_pattern IS NULL AND source.metadata IS NULL
      THEN safe
    ELSE _window_end(source, free.checkpoint, safe, 10000)
  END;

  IF free.stopped OR NOT _subscription_has(source, 0, free.checkpoint, to_position + 1) THEN
    IF free.checkpoint < to_position AND NOT free.stopped THEN
      -- Once more, under the lock: refilter_subscription may have changed what it reads since the
      -- caller read it, and the checkpoint would pass messages that it reads now.
      IF source IS DISTINCT FROM _subscription_of(source.subscription) THEN
        free.token := NULL;
        RETURN NEXT free;
        RETURN;
      END IF;
      UPDATE subscription_partitions AS p
      SET checkpoint = to_position, swept_position = to_position
      WHERE p.subscription_id = source.subscription_id AND p.partition = 0;
      IF to_position < safe THEN
        free.token := NULL;
        RETURN NEXT free;
        RETURN;
      END IF;
    END IF;
    IF NOT EXISTS (
      SELECT
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id
        AND k.replay
        -- Messages that were deleted since cannot be handed out. Not EXISTS: for a join the planner
        -- may walk along all messages (tests/plans).
        AND (
          SELECT m.global_position FROM messages AS m WHERE m.global_position = k.global_position
        ) IS NOT NULL
    ) THEN
      RETURN;
    END IF;
  END IF;

  RETURN NEXT _begin_lease(
    source, free, _new_token(free.token), _lease_only_partition.worker, _lease_only_partition.lease,
    greatest(free.swept_position, safe), 0
  );
END
$$;

COMMENT ON FUNCTION _lease_only_partition(subscriptions, text, interval, bigint) IS
$$Internal: look for work of a subscription with one partition, and lease that if it has some and is
free. Its own row says what it has, so nothing is swept. A row without a token: there is more to
look at.$$;

-- functions/leases/_lease_partition.sql
CREATE OR REPLACE FUNCTION _lease_partition(
  source subscriptions,
  worker text,
  lease interval
)
RETURNS SETOF subscription_partitions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  waiting record;
  free subscription_partitions;
BEGIN
  -- The partition that waits longest comes first, and no idle partition is looked at. A loop,
  -- because for a join the planner may begin with the partitions (tests/plans).
  FOR waiting IN
    SELECT h.partition, h.head
    FROM subscription_heads AS h
    WHERE h.subscription_id = source.subscription_id
    ORDER BY h.head
  LOOP
    SELECT p.* INTO free
    FROM subscription_partitions AS p
    WHERE p.subscription_id = source.subscription_id
      AND p.partition = waiting.partition
      AND p.checkpoint < waiting.head
      AND NOT p.stopped
      AND _may_lease(p.leased_until, p.lease, p.retry_at)
    FOR UPDATE SKIP LOCKED;
    EXIT WHEN FOUND;
  END LOOP;

  IF free.partition IS NULL THEN
    FOR waiting IN
      SELECT DISTINCT k.partition
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id
        AND k.replay
        -- Messages that were deleted since cannot be handed out. Not EXISTS: for a join the planner
        -- may walk along all messages (tests/plans).
        AND (
          SELECT m.global_position FROM messages AS m WHERE m.global_position = k.global_position
        ) IS NOT NULL
    LOOP
      SELECT p.* INTO free
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id
        AND p.partition = waiting.partition
        AND _may_lease(p.leased_until, p.lease, p.retry_at)
      FOR UPDATE SKIP LOCKED;
      EXIT WHEN FOUND;
    END LOOP;
  END IF;
  IF free.partition IS NULL THEN
    RETURN;
  END IF;

  RETURN NEXT _begin_lease(
    source, free, _new_token(free.token), _lease_partition.worker, _lease_partition.lease,
    free.swept_position, 0
  );
END
$$;

COMMENT ON FUNCTION _lease_partition(subscriptions, text, interval) IS
$$Internal: lease a partition that is known to have work and is free. A row without a token: look
again.$$;

-- functions/leases/_may_lease.sql
CREATE OR REPLACE FUNCTION _may_lease(
  leased_until timestamptz,
  lease interval,
  retry_at timestamptz
)
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN
  (leased_until BETWEEN clock_timestamp() AND clock_timestamp() + lease) IS NOT TRUE
  AND (retry_at <= clock_timestamp()) IS NOT FALSE;

COMMENT ON FUNCTION _may_lease(timestamptz, interval, timestamptz) IS
$$Internal: return whether a partition is free by its times: no worker has a lease of it, and no
pause after a failure is left. A lease that ends later than its length from now is over too: the
clock was ahead when it began, and its end may be hours away. Inlined into the statements of the
claims.$$;

-- functions/leases/_may_wait.sql
CREATE OR REPLACE FUNCTION _may_wait(
  checkpoint bigint,
  own_position bigint,
  head bigint
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN coalesce(own_position, head) > checkpoint;

COMMENT ON FUNCTION _may_wait(bigint, bigint, bigint) IS
$$Internal: tell whether messages may wait in a partition: beyond its checkpoint, up to the swept
position of an only partition, or the head of another one. NULL if it has no head. Inlined into its
callers.$$;

-- functions/leases/_new_token.sql
CREATE OR REPLACE FUNCTION _new_token(
  last_token bigint
)
RETURNS bigint
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN greatest(last_token + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

COMMENT ON FUNCTION _new_token(bigint) IS
$$Internal: a fencing token, higher than the partition's last one. Microseconds, and no sequence:
when the server crashes, a claim whose commit was not waited for is lost, and its token must not be
given again. Nor may one of a partition that was there before under the same name.$$;

-- functions/leases/_stream_partition.sql
CREATE OR REPLACE FUNCTION _stream_partition(
  stream_id bigint,
  partitions bigint
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN (((stream_id & 2147483647) * 2654435761 & 4294967295) >> 12) % partitions;

COMMENT ON FUNCTION _stream_partition(bigint, bigint) IS
$$Internal: return what _partition_of returns by stream. Inlined into its callers, hence without a
search_path of its own. _partition_of cannot be inlined, because it calls functions that are not
IMMUTABLE; its call takes longer than the rest of a look at a message.$$;

-- functions/leases/_subscription_has.sql
CREATE OR REPLACE FUNCTION _subscription_has(
  source subscriptions,
  partition bigint,
  after_position bigint,
  before_position bigint
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
BEGIN
  IF source.partitions > 1 THEN
    RETURN EXISTS (
      SELECT
      FROM subscription_work AS w
      CROSS JOIN LATERAL unnest(w.positions) AS u (global_position)
      WHERE w.subscription_id = source.subscription_id
        AND w.partition = _subscription_has.partition
        AND w.last_position > after_position
        AND u.global_position > after_position
        AND u.global_position < before_position
        -- As fetch_batch, which leaves out what was deleted, or redacted, since it was listed. Not
        -- EXISTS: for a join the planner may walk along all messages (tests/plans).
        AND (
          SELECT source.metadata IS NULL OR m.metadata @> source.metadata
          FROM messages AS m
          WHERE m.global_position = u.global_position
        )
    );
  ELSIF source.categories IS NULL THEN
    RETURN EXISTS (
      SELECT
      FROM _range_of_all(
        after_position, before_position - 1, 1, source.types, source.stream_pattern, NULL, NULL,
        source.partition_by, source.metadata
      ) AS r
    );
  END IF;
  RETURN EXISTS (
    SELECT
    FROM _range_of_several(
      source.categories, after_position, before_position - 1, 1, source.types,
      source.stream_pattern, NULL, NULL, source.partition_by, source.metadata
    ) AS r
  );
END
$$;

COMMENT ON FUNCTION _subscription_has(subscriptions, bigint, bigint, bigint) IS
$$Internal: whether a partition has a message between two positions, both exclusive.$$;

-- functions/leases/_sweep_subscription.sql
CREATE OR REPLACE FUNCTION _sweep_subscription(
  source subscriptions,
  safe bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  from_position bigint;
  to_position bigint;
  by_stream boolean;
  named boolean;
BEGIN
  -- One looks for work at a time; the others do not wait for it.
  SELECT w.swept_position INTO from_position
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  ELSIF from_position >= safe THEN
    RETURN true;
  END IF;
  -- Once more, under the lock: its partitions may have changed since the caller read it.
  source := _subscription_of(source.subscription);

  IF source.partitions = 1 THEN
    RETURN true;
  END IF;

  -- A partition whose messages are handled needs no head.
  DELETE FROM subscription_heads AS h
  WHERE h.subscription_id = source.subscription_id
    AND h.head <= (
      SELECT p.checkpoint
      FROM subscription_partitions AS p
      WHERE p.subscription_id = h.subscription_id AND p.partition = h.partition
    );

  to_position := _window_end(
    source, from_position, safe, least(10000 * source.partitions, 100000)
  );
  -- The look-up of its stream costs more than the rest of a message. That another category with
  -- the same key is none of these, fetch_batch sees.
  by_stream := source.partition_by = 'stream';
  named := NOT by_stream OR source.stream_pattern IS NOT NULL;
  -- Of the two halves of found, one is empty.
  WITH found AS (
    SELECT
      CASE
        WHEN by_stream THEN _stream_partition(m.stream_id, source.partitions)
        ELSE _partition_of(
          m.stream_id, s.stream, m.metadata, source.partitions, source.partition_by
        )
      END AS partition,
      m.global_position
    FROM messages AS m
    LEFT JOIN LATERAL (
      SELECT i.stream FROM streams AS i WHERE named AND i.stream_id = m.stream_id LIMIT 1
    ) AS s ON true
    WHERE source.categories IS NULL AND m.global_position > from_position
      AND m.global_position <= to_position
      AND (source.types IS NULL OR m.type = ANY (source.types))
      AND (source.metadata IS NULL OR m.metadata @> source.metadata)
      AND (source.stream_pattern IS NULL OR s.stream LIKE source.stream_pattern)
    UNION ALL
    SELECT
      CASE
        WHEN by_stream THEN _stream_partition(m.stream_id, source.partitions)
        ELSE _partition_of(
          m.stream_id, s.stream, m.metadata, source.partitions, source.partition_by
        )
      END AS partition,
      m.global_position
    FROM unnest(source.categories) AS c (category)
    CROSS JOIN LATERAL (
      SELECT n.stream_id, n.global_position, n.type, n.metadata
      FROM messages AS n
      WHERE (n.category_key, n.global_position) > (_category_key(c.category), from_position)
        AND (n.category_key, n.global_position) <= (_category_key(c.category), to_position)
      ORDER BY n.category_key, n.global_position
      OFFSET 0
    ) AS m
    LEFT JOIN LATERAL (
      SELECT i.stream FROM streams AS i WHERE named AND i.stream_id = m.stream_id LIMIT 1
    ) AS s ON true
    WHERE (source.types IS NULL OR m.type = ANY (source.types))
      AND (source.metadata IS NULL OR m.metadata @> source.metadata)
      AND (source.stream_pattern IS NULL OR s.stream LIKE source.stream_pattern)
  ),
  listed AS (
    INSERT INTO subscription_work (subscription_id, partition, last_position, positions)
    SELECT
      source.subscription_id, f.partition, max(f.global_position),
      array_agg(f.global_position ORDER BY f.global_position)
    FROM found AS f
    GROUP BY f.partition
    RETURNING partition, last_position
  )
  INSERT INTO subscription_heads AS h (subscription_id, partition, head)
  SELECT source.subscription_id, l.partition, l.last_position
  FROM listed AS l
  ON CONFLICT ON CONSTRAINT subscription_heads_subscription_id_partition_pkey
  DO UPDATE SET head = excluded.head;

  UPDATE subscription_sweeps AS w
  SET swept_position = to_position
  WHERE w.subscription_id = source.subscription_id;
  RETURN true;
END
$$;

COMMENT ON FUNCTION _sweep_subscription(subscriptions, bigint) IS
$$Internal: look at the next messages of a subscription, up to 10,000 for each partition and 100,000
in all, and note the partitions they wait in, and where. Return false if another transaction sweeps.
One look finds the work of every partition, so that neither finding nor fetching it costs more with
more partitions.$$;

-- functions/leases/_swept_position.sql
CREATE OR REPLACE FUNCTION _swept_position(
  subscription_id bigint,
  own_position bigint
)
RETURNS SETOF bigint
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT coalesce(
    _swept_position.own_position,
    (
      SELECT w.swept_position
      FROM subscription_sweeps AS w
      WHERE w.subscription_id = _swept_position.subscription_id
    )
  );
END;

COMMENT ON FUNCTION _swept_position(bigint, bigint) IS
$$Internal: return the global position up to which work was looked for: that in the row of an only
partition, otherwise that of the subscription. Returns a set because only such a function with a
query in it is inlined into its callers, hence without a search_path of its own.$$;

-- functions/leases/_window_end.sql
CREATE OR REPLACE FUNCTION _window_end(
  source subscriptions,
  after_position bigint,
  safe bigint,
  window_size bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN _window_of(source.categories, after_position, safe, window_size);
END
$$;

COMMENT ON FUNCTION _window_end(subscriptions, bigint, bigint, bigint) IS
$$Internal: the global position up to which a subscription has at most so many messages of its
categories to look at, so that no look for work takes long.$$;

-- functions/leases/abandon_partition.sql
CREATE OR REPLACE FUNCTION abandon_partition(
  subscription text,
  partition bigint,
  token bigint,
  error text
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
  lost subscription_partitions;
BEGIN
  SELECT p.* INTO lost
  FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = abandon_partition.partition
    AND p.token = abandon_partition.token
    AND p.leased_until IS NOT NULL
  FOR UPDATE;
  IF lost.token IS NULL THEN
    RETURN false;
  END IF;
  PERFORM _count_lost_lease(source, lost, error);
  -- Without a pause: most connections are lost for a reason that is no message's.
  UPDATE subscription_partitions AS p
  SET leased_until = NULL, retry_at = NULL
  WHERE p.subscription_id = source.subscription_id AND p.partition = abandon_partition.partition;
  RETURN true;
END
$$;

COMMENT ON FUNCTION abandon_partition(text, bigint, bigint, text) IS
$$Give a lease back after the handler's connection, and so its transaction, was lost for any reason.
Counts as a worker that ended without releasing its lease: a failed attempt, with this error, at a
message that was handed out alone, and nothing if the server has restarted since the lease began.
False if the lease was lost. Raises MS021 for an unknown subscription.$$;

-- functions/leases/acknowledge.sql
CREATE OR REPLACE FUNCTION acknowledge(
  subscription text,
  partition bigint,
  token bigint,
  checkpoint bigint,
  release boolean DEFAULT false
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  UPDATE subscription_partitions AS p
  SET
    checkpoint = acknowledge.checkpoint,
    attempts = CASE
      WHEN p.failed_position > acknowledge.checkpoint THEN p.attempts ELSE 0
    END,
    failed_position = CASE
      WHEN p.failed_position > acknowledge.checkpoint THEN p.failed_position
    END,
    error = CASE WHEN p.failed_position > acknowledge.checkpoint THEN p.error END,
    leased_until = CASE WHEN NOT acknowledge.release THEN p.leased_until END,
    leases = CASE WHEN p.checkpoint = acknowledge.checkpoint THEN p.leases ELSE 0 END,
    alone = CASE
      WHEN p.checkpoint = acknowledge.checkpoint THEN p.alone ELSE greatest(p.alone - 1, 0)
    END
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = acknowledge.partition
    AND p.token = acknowledge.token
    AND p.checkpoint <= acknowledge.checkpoint
    AND acknowledge.checkpoint <= (
      SELECT w.position FROM _swept_position(p.subscription_id, p.swept_position) AS w (position)
    );
  IF FOUND THEN
    IF source.partitions > 1 THEN
      DELETE FROM subscription_work AS w
      WHERE w.subscription_id = source.subscription_id
        AND w.partition = acknowledge.partition
        AND w.last_position <= acknowledge.checkpoint;
    END IF;
    RETURN;
  END IF;

  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = acknowledge.partition
    AND p.token = acknowledge.token;
  IF NOT FOUND THEN
    PERFORM _refuse_lease(subscription, partition, token);
  END IF;
  PERFORM _refuse_argument(
    'checkpoint', 'must be one that fetch_batch gave, not before the last one acknowledged',
    jsonb_build_object('checkpoint', acknowledge.checkpoint)
  );
END
$$;

COMMENT ON FUNCTION acknowledge(text, bigint, bigint, bigint, boolean) IS
$$Move the checkpoint of a leased partition: everything up to it has been dealt with. In the
handler's own transaction, its effects and the checkpoint are one: exactly once. With release, the
lease is given back with it. Raises MS020 if the lease is lost, which takes the handler's effects
with it; 22023 if checkpoint is before the last one, or beyond the positions that fetch_batch can
have given.$$;

-- functions/leases/begin_handling.sql
CREATE OR REPLACE FUNCTION begin_handling(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  -- Local to the transaction: COMMIT and ROLLBACK take it away.
  PERFORM set_config(
    'pgstore.handling',
    json_build_array(current_schema(), subscription, partition, token)::text,
    true
  );
END
$$;

COMMENT ON FUNCTION begin_handling(text, bigint, bigint) IS
$$Mark the transaction of a handler with its lease, as its first statement, for check_handling. A
guard against mistakes: any statement of the transaction can set the mark again.$$;

-- functions/leases/check_handling.sql
CREATE OR REPLACE FUNCTION check_handling(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  IF current_setting('pgstore.handling', true) IS DISTINCT FROM
    json_build_array(current_schema(), subscription, partition, token)::text
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS023',
      MESSAGE = format(
        'the transaction of a handler of subscription %s was ended before its message was '
        'acknowledged',
        subscription
      ),
      DETAIL = json_build_object(
        'subscription', subscription, 'partition', partition, 'token', token
      )::text,
      HINT = 'A handler must not run COMMIT or ROLLBACK in the transaction it is given. What it '
        'committed stays, and is done again when the message is handed out again.';
  END IF;
END
$$;

COMMENT ON FUNCTION check_handling(text, bigint, bigint) IS
$$Raise MS023 unless begin_handling was called for the same lease in this transaction: then COMMIT
or ROLLBACK has ended the transaction in which the handler's effects and the acknowledgement were to
be one. Call it in the statement that acknowledges, or just before.$$;

-- functions/leases/claim_batch.sql
CREATE OR REPLACE FUNCTION claim_batch(
  subscriptions text[],
  worker text,
  lease interval DEFAULT '30 seconds',
  max_count bigint DEFAULT 100
)
RETURNS TABLE (
  subscription text,
  partition bigint,
  token bigint,
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  checkpoint bigint,
  parked boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  name text;
  free record;
  category text;
  found_count bigint;
  busy boolean := false;
BEGIN
  IF (lease > '0' AND lease <= '1000 years') IS NOT TRUE THEN
    PERFORM _refuse_value('lease', 'must be more than 0, and 1000 years at most', to_jsonb(lease));
  ELSIF subscriptions IS NULL
    OR array_ndims(subscriptions) > 1
    OR array_position(subscriptions, NULL) IS NOT NULL
  THEN
    PERFORM _refuse_value('subscriptions', 'must be names', to_jsonb(subscriptions));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM _refuse_isolation();
  END IF;
  safe := (horizon()).safe_position;

  FOREACH name IN ARRAY claim_batch.subscriptions LOOP
    -- The usual case in few statements, because a message waits for them: a subscription with one
    -- partition that reads all types, and nothing that is out of the ordinary. It reads messages
    -- where the others look whether there are any.
    SELECT p.subscription_id, p.checkpoint, s.categories, _new_token(p.token) AS token
    INTO free
    FROM subscriptions AS s
    JOIN subscription_partitions AS p ON p.subscription_id = s.subscription_id AND p.partition = 0
    WHERE s.subscription = name COLLATE "C"
      AND s.next_partitions IS NULL
      AND NOT s.paused
      AND s.types IS NULL
      AND s.stream_pattern IS NULL
      AND s.metadata IS NULL
      AND p.swept_position IS NOT NULL
      AND p.checkpoint < safe
      AND p.failed_position IS NULL
      AND p.alone = 0
      AND p.leased_until IS NULL
      AND p.retry_at IS NULL
      AND NOT EXISTS (
        SELECT FROM parked_messages AS k WHERE k.subscription_id = s.subscription_id AND k.replay
      )
    FOR UPDATE OF p SKIP LOCKED;
    IF FOUND THEN
      category := CASE WHEN cardinality(free.categories) = 1 THEN free.categories[1] END;
      IF free.categories IS NULL THEN
        RETURN QUERY
        SELECT
          name, bigint '0', free.token, r.message_id, r.stream, r.version, r.global_position,
          r.type, r.data, r.metadata, r.added_at, r.global_position, false
        FROM _range_of_all(
          free.checkpoint, safe, max_count, NULL, NULL, NULL, NULL, 'stream'
        ) AS r;
      ELSIF category IS NOT NULL THEN
        RETURN QUERY
        SELECT
          name, bigint '0', free.token, r.message_id, r.stream, r.version, r.global_position,
          r.type, r.data, r.metadata, r.added_at, r.global_position, false
        FROM _range_of_category(
          category, free.checkpoint, safe, max_count, NULL, NULL, NULL, NULL, 'stream'
        ) AS r;
      ELSE
        RETURN QUERY
        SELECT
          name, bigint '0', free.token, r.message_id, r.stream, r.version, r.global_position,
          r.type, r.data, r.metadata, r.added_at, r.global_position, false
        FROM _range_of_several(
          free.categories, free.checkpoint, safe, max_count, NULL, NULL, NULL, NULL, 'stream'
        ) AS r;
      END IF;
      GET DIAGNOSTICS found_count = ROW_COUNT;
      IF found_count > 0 THEN
        -- As _begin_lease, of a lease that follows no other; a call would be a tenth of the claim.
        UPDATE subscription_partitions AS p
        SET
          token = free.token,
          worker = claim_batch.worker,
          lease = claim_batch.lease,
          leased_until = clock_timestamp() + claim_batch.lease,
          swept_position = safe,
          leases = p.leases + 1,
          batch_size = greatest(p.batch_size, least(max_count, 1000)),
          server_started_at = pg_postmaster_start_time()
        WHERE p.subscription_id = free.subscription_id AND p.partition = 0;
        IF found_count < max_count THEN
          subscription := name;
          partition := 0;
          token := free.token;
          checkpoint := safe;
          RETURN NEXT;
        END IF;
        RETURN;
      END IF;
    END IF;

    SELECT name, c.partition, c.token INTO subscription, partition, token
    FROM _claim_of(name, claim_batch.worker, claim_batch.lease, safe) AS c;
    IF token IS NOT NULL THEN
      RETURN QUERY
      SELECT
        name, claim_batch.partition, claim_batch.token, f.message_id, f.stream, f.version,
        f.global_position, f.type, f.data, f.metadata, f.added_at, f.checkpoint, f.parked
      FROM fetch_batch(name, claim_batch.partition, claim_batch.token, max_count) AS f;
      IF NOT FOUND THEN
        RETURN NEXT;
      END IF;
      RETURN;
    END IF;
    busy := busy OR FOUND;
  END LOOP;
  IF busy THEN
    subscription := NULL;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION claim_batch(text[], text, interval, bigint) IS
$$claim_partition and, if that has leased one, the first fetch_batch, in one round trip. If there is
nothing to fetch, one row with the lease and without a message: release it.$$;

-- functions/leases/claim_partition.sql
CREATE OR REPLACE FUNCTION claim_partition(
  subscriptions text[],
  worker text,
  lease interval DEFAULT '30 seconds'
)
RETURNS TABLE (
  subscription text,
  partition bigint,
  token bigint,
  checkpoint bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  name text;
  busy boolean := false;
BEGIN
  IF (lease > '0' AND lease <= '1000 years') IS NOT TRUE THEN
    PERFORM _refuse_value('lease', 'must be more than 0, and 1000 years at most', to_jsonb(lease));
  ELSIF subscriptions IS NULL
    OR array_ndims(subscriptions) > 1
    OR array_position(subscriptions, NULL) IS NOT NULL
  THEN
    PERFORM _refuse_value('subscriptions', 'must be names', to_jsonb(subscriptions));
  END IF;
  PERFORM _refuse_isolation();
  safe := safe_position();

  FOREACH name IN ARRAY claim_partition.subscriptions LOOP
    SELECT name, c.partition, c.token, c.checkpoint INTO subscription, partition, token, checkpoint
    FROM _claim_of(name, claim_partition.worker, claim_partition.lease, safe) AS c;
    IF token IS NOT NULL THEN
      RETURN NEXT;
      RETURN;
    END IF;
    busy := busy OR FOUND;
  END LOOP;
  IF busy THEN
    RETURN QUERY SELECT NULL::text, NULL::bigint, NULL::bigint, NULL::bigint;
  END IF;
END
$$;

COMMENT ON FUNCTION claim_partition(text[], text, interval) IS
$$Lease a partition that has work, of the first of these subscriptions that has any; call it in a
transaction of its own. No row: there is nothing to do now. A row of NULLs: there is more to look
at, or others are just at it; try again in some milliseconds. The lease ends after the given time
unless it is extended; acknowledge and the others check its token, so a worker that has lost the
lease cannot change anything. Raises 22023 for a bad argument, MS021 for an unknown subscription,
and MS004 as read_all.$$;

-- functions/leases/extend_lease.sql
CREATE OR REPLACE FUNCTION extend_lease(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
  extended timestamptz;
BEGIN
  UPDATE subscription_partitions AS p
  SET leased_until = clock_timestamp() + p.lease
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = extend_lease.partition
    AND p.token = extend_lease.token
    AND p.leased_until IS NOT NULL
  RETURNING p.leased_until INTO extended;
  IF extended IS NULL THEN
    PERFORM _refuse_lease(subscription, partition, token);
  END IF;
  RETURN extended;
END
$$;

COMMENT ON FUNCTION extend_lease(text, bigint, bigint) IS
$$Extend a lease by its length from now; answers its new end. Raises MS020 if it is lost.$$;

-- functions/leases/fail_message.sql
CREATE OR REPLACE FUNCTION fail_message(
  subscription text,
  partition bigint,
  token bigint,
  global_position bigint,
  error text
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
  -- Some errors quote megabytes: every list of partitions would carry them.
  told text := left(error, 10000);
  leased subscription_partitions;
  tried bigint;
  parks boolean;
BEGIN
  SELECT p.* INTO leased
  FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = fail_message.partition
    AND p.token = fail_message.token
  FOR UPDATE;
  IF leased.token IS NULL THEN
    PERFORM _refuse_lease(subscription, partition, token);
  ELSIF leased.leased_until IS NULL THEN
    -- The lease was given back with the failure: the answer was lost, and this asks for it again.
    IF (leased.failed_position = global_position) IS NOT TRUE THEN
      PERFORM _refuse_lease(subscription, partition, token);
    END IF;
    RETURN CASE WHEN leased.stopped THEN 'stop' ELSE 'retry' END;
  END IF;

  -- A parked message that was replayed and failed once more?
  UPDATE parked_messages AS k
  SET
    attempts = k.attempts + 1,
    -- An error may quote its message: of one that was deleted meanwhile nothing is kept.
    error = CASE
      WHEN EXISTS (SELECT FROM messages AS m WHERE m.global_position = k.global_position)
      THEN told
    END,
    replay = false
  WHERE k.subscription_id = source.subscription_id
    AND k.global_position = fail_message.global_position
    AND k.partition = fail_message.partition
    AND k.replay;
  IF FOUND THEN
    RETURN 'park';
  ELSIF (
    global_position > leased.checkpoint
    AND global_position < 9223372036854775807
    AND _subscription_has(source, partition, global_position - 1, global_position + 1)
  ) IS NOT TRUE THEN
    IF global_position BETWEEN leased.checkpoint + 1 AND (
      SELECT w.position
      FROM _swept_position(source.subscription_id, leased.swept_position) AS w (position)
    ) AND NOT EXISTS (
      SELECT
      FROM messages AS m
      WHERE m.global_position = fail_message.global_position
        AND (source.metadata IS NULL OR m.metadata @> source.metadata)
    ) THEN
      -- It was deleted or redacted meanwhile: there is nothing to try again.
      PERFORM release_partition(subscription, partition, token);
      RETURN 'retry';
    END IF;
    PERFORM _refuse_value(
      'global_position', 'must be that of a message that fetch_batch gave',
      to_jsonb(global_position)
    );
  END IF;

  tried := 1 + CASE WHEN leased.failed_position = global_position THEN leased.attempts ELSE 0 END;
  parks := tried >= source.max_attempts AND source.on_failure = 'park';
  IF parks AND NOT _subscription_has(source, partition, leased.checkpoint, global_position) THEN
    INSERT INTO parked_messages (
      subscription_id, global_position, partition, attempts, parked_at, replay, error
    )
    VALUES (
      source.subscription_id, fail_message.global_position, fail_message.partition, tried,
      clock_timestamp(), false, told
    )
    ON CONFLICT ON CONSTRAINT parked_messages_subscription_id_global_position_pkey
    DO UPDATE SET
      attempts = excluded.attempts, parked_at = excluded.parked_at, error = excluded.error;
    PERFORM acknowledge(subscription, partition, token, global_position);
    RETURN 'park';
  END IF;

  UPDATE subscription_partitions AS p
  SET
    attempts = tried,
    failed_position = fail_message.global_position,
    error = told,
    stopped = tried >= source.max_attempts AND NOT parks,
    leased_until = NULL,
    retry_at = clock_timestamp()
      + least(least(source.retry_delay, '1 hour') * power(2, least(tried - 1, 30)), '1 hour')
  WHERE p.subscription_id = source.subscription_id AND p.partition = fail_message.partition;
  RETURN CASE WHEN tried >= source.max_attempts AND NOT parks THEN 'stop' ELSE 'retry' END;
END
$$;

COMMENT ON FUNCTION fail_message(text, bigint, bigint, bigint, text) IS
$$Report that handling a message failed, after the handler's transaction was rolled back. Return the
consequence: retry (the partition is released and handed out again after the pause), stop (it is
held until resume_subscription), or park (the message is parked and the lease continues after it). A
message is not parked before those that come before it have been acknowledged: where its batch was
rolled back with it, retry follows once more. To report a failure again, after a lost answer, does
not count it again. Of the error, the first 10,000 characters are kept. Raises MS020 if the lease is
lost; 22023 for another message than one that fetch_batch can have given.$$;

-- functions/leases/fetch_batch.sql
CREATE OR REPLACE FUNCTION fetch_batch(
  subscription text,
  partition bigint,
  token bigint,
  max_count bigint DEFAULT 100
)
RETURNS TABLE (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  checkpoint bigint,
  parked boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  leased record;
  category text;
  categories text[];
  types text[];
  stream_pattern text;
  metadata_filter jsonb;
  from_position bigint;
  to_position bigint;
  wanted bigint;
  work record;
  done bigint;
  more bigint;
  found_count bigint := bigint '0';
BEGIN
  IF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;
  PERFORM _refuse_isolation();

  -- All that it needs to know, in one statement.
  SELECT
    s.subscription_id, s.partitions, s.paused, s.categories, s.types, s.stream_pattern,
    s.metadata, p.checkpoint, p.attempts, p.alone, p.batch_size, p.stopped, p.leased_until, p.lease,
    w.position AS swept,
    EXISTS (
      SELECT
      FROM parked_messages AS k
      WHERE k.subscription_id = s.subscription_id
        AND k.partition = fetch_batch.partition
        AND k.replay
    ) AS replays
  INTO leased
  FROM subscriptions AS s
  JOIN subscription_partitions AS p ON p.subscription_id = s.subscription_id
    AND p.partition = fetch_batch.partition
    AND p.token = fetch_batch.token
  CROSS JOIN LATERAL _swept_position(s.subscription_id, p.swept_position) AS w (position)
  WHERE s.subscription = fetch_batch.subscription COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _subscription_of(subscription);
    PERFORM _refuse_lease(subscription, partition, token);
  ELSIF leased.paused THEN
    RETURN;
  ELSIF (
    leased.leased_until NOT BETWEEN clock_timestamp() + leased.lease / 2
      AND clock_timestamp() + leased.lease
  ) THEN
    PERFORM extend_lease(subscription, partition, token);
  END IF;
  -- If the worker ends, it can have received this many messages that are not acknowledged. The
  -- column only grows, so most calls update nothing.
  IF leased.batch_size < least(max_count, 1000) THEN
    UPDATE subscription_partitions AS p
    SET batch_size = greatest(p.batch_size, least(max_count, 1000))
    WHERE p.subscription_id = leased.subscription_id
      AND p.partition = fetch_batch.partition
      AND p.token = fetch_batch.token;
  END IF;

  IF leased.replays THEN
    RETURN QUERY
    SELECT
      m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
      leased.checkpoint, true
    FROM parked_messages AS k
    -- LIMIT keeps these look-ups, whatever the planner thinks of the sizes.
    CROSS JOIN LATERAL (
      SELECT
        i.message_id, i.stream_id, i.version, i.global_position, i.type, i.data, i.metadata,
        i.added_at
      FROM messages AS i
      WHERE i.global_position = k.global_position
      LIMIT 1
    ) AS m
    CROSS JOIN LATERAL (
      SELECT i.stream FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    WHERE k.subscription_id = leased.subscription_id
      AND k.partition = fetch_batch.partition
      AND k.replay
    ORDER BY k.global_position
    LIMIT 1;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  IF leased.stopped THEN
    RETURN;
  END IF;

  -- After a failure one by one, so that the message that fails is alone when it fails again.
  wanted := CASE WHEN leased.attempts > 0 OR leased.alone > 0 THEN 1 ELSE max_count END;
  -- As variables of their own they cost less for each message.
  categories := leased.categories;
  types := leased.types;
  stream_pattern := leased.stream_pattern;
  metadata_filter := leased.metadata;
  from_position := leased.checkpoint;
  to_position := leased.swept;
  category := CASE WHEN cardinality(categories) = 1 THEN categories[1] END;
  IF leased.partitions > 1 THEN
    <<listed>>
    FOR work IN
      SELECT w.positions
      FROM subscription_work AS w
      WHERE w.subscription_id = leased.subscription_id
        AND w.partition = fetch_batch.partition
        AND w.last_position > leased.checkpoint
        AND w.last_position <= leased.swept
      ORDER BY w.last_position
    LOOP
      done := width_bucket(leased.checkpoint, work.positions)::bigint;
      WHILE done < cardinality(work.positions) LOOP
        -- Messages that were deleted or redacted since, or are of another category with the same
        -- key, are left out.
        RETURN QUERY
        SELECT
          m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata,
          m.added_at, m.global_position, false
        FROM unnest(work.positions[done + 1:done + wanted - found_count]) AS u (global_position)
        CROSS JOIN LATERAL (
          SELECT
            i.message_id, i.stream_id, i.version, i.global_position, i.type, i.data, i.metadata,
            i.added_at
          FROM messages AS i
          WHERE i.global_position = u.global_position
          LIMIT 1
        ) AS m
        CROSS JOIN LATERAL (
          SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
        ) AS s
        WHERE (categories IS NULL OR s.category = ANY (categories))
          AND (metadata_filter IS NULL OR m.metadata @> metadata_filter)
        ORDER BY m.global_position;
        GET DIAGNOSTICS more = ROW_COUNT;
        done := done + wanted - found_count;
        found_count := found_count + more;
        EXIT listed WHEN found_count = wanted;
      END LOOP;
    END LOOP;
  ELSE
    -- As read_matching, if filters leave messages out: a call that looks at all of them can last
    -- longer than the lease.
    IF (types IS NOT NULL OR stream_pattern IS NOT NULL OR metadata_filter IS NOT NULL)
      AND to_position - from_position > 100000
    THEN
      to_position := from_position + 100000;
    END IF;
    LOOP
      IF categories IS NULL THEN
        RETURN QUERY
        SELECT
          r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
          r.added_at, r.global_position, false
        FROM _range_of_all(
          from_position, to_position, wanted, types, stream_pattern, NULL, NULL, NULL,
          metadata_filter
        ) AS r;
      ELSIF category IS NOT NULL THEN
        RETURN QUERY
        SELECT
          r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
          r.added_at, r.global_position, false
        FROM _range_of_category(
          category, from_position, to_position, wanted, types, stream_pattern, NULL, NULL, NULL,
          metadata_filter
        ) AS r;
      ELSE
        RETURN QUERY
        SELECT
          r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
          r.added_at, r.global_position, false
        FROM _range_of_several(
          categories, from_position, to_position, wanted, types, stream_pattern, NULL, NULL, NULL,
          metadata_filter
        ) AS r;
      END IF;
      GET DIAGNOSTICS found_count = ROW_COUNT;
      EXIT WHEN found_count > 0 OR to_position = leased.swept OR from_position > leased.checkpoint;
      from_position := to_position;
      to_position := _window_of(categories, from_position, leased.swept, 100000);
    END LOOP;
  END IF;

  IF found_count BETWEEN 1 AND wanted - 1 THEN
    checkpoint := to_position;
    RETURN NEXT;
  ELSIF found_count = 0 AND leased.checkpoint < to_position THEN
    PERFORM acknowledge(subscription, partition, token, to_position);
  END IF;
END
$$;

COMMENT ON FUNCTION fetch_batch(text, bigint, bigint, bigint) IS
$$The next messages of a leased partition, in order, at most max_count; none if it has caught up,
the subscription is paused, or its filters leave out the next hundred thousand messages: then
release the partition, and claim again. Each comes with the checkpoint to acknowledge after it. If
there are fewer than max_count, a last row without a message has the checkpoint to acknowledge after
all of them, which is further on where nothing of the partition follows. After a failure they come
one by one until the failed one has been dealt with. A parked message that is to be replayed comes
first, alone, and is settled by settle_parked. Extends the lease when half of it is over. Raises
MS020 if the lease is lost.$$;

-- functions/leases/next_claim.sql
CREATE OR REPLACE FUNCTION next_claim(
  subscriptions text[]
)
RETURNS interval
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT min(greatest(d.due - clock_timestamp(), '0'))
    FROM subscriptions AS s
    -- The partitions in which messages may wait: no other one is looked at, however many there are.
    CROSS JOIN LATERAL (
      SELECT bigint '0' AS partition, NULL::bigint AS head
      WHERE s.partitions = 1
      UNION ALL
      SELECT h.partition, h.head
      FROM subscription_heads AS h
      WHERE s.partitions > 1 AND h.subscription_id = s.subscription_id
    ) AS w
    -- OFFSET 0, because the planner may begin a join with all partitions (tests/plans).
    CROSS JOIN LATERAL (
      SELECT q.leased_until, q.retry_at, q.stopped, q.checkpoint, q.swept_position
      FROM subscription_partitions AS q
      WHERE q.subscription_id = s.subscription_id AND q.partition = w.partition
      OFFSET 0
    ) AS p
    CROSS JOIN LATERAL (SELECT greatest(p.leased_until, p.retry_at) AS due) AS d
    WHERE _in_store()
      AND s.subscription = ANY (next_claim.subscriptions COLLATE "C")
      AND NOT s.paused
      AND NOT p.stopped
      AND _may_wait(p.checkpoint, p.swept_position, w.head)
      -- Since the transaction began, not from now on: a retry that has become due since a claim in
      -- the same statement is due at once.
      AND d.due > now()
  );
END
$$;

COMMENT ON FUNCTION next_claim(text[]) IS
$$How long after a claim that found nothing there can be something to claim without a notification:
until the first lease, or pause after a failure, of a partition of these subscriptions ends. NULL if
none has one. Call it in the transaction of the claim, and claim again after that time.$$;

-- functions/leases/release_partition.sql
CREATE OR REPLACE FUNCTION release_partition(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  UPDATE subscription_partitions AS p
  SET leased_until = NULL
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = release_partition.partition
    AND p.token = release_partition.token
    AND p.leased_until IS NOT NULL;
  RETURN FOUND;
END
$$;

COMMENT ON FUNCTION release_partition(text, bigint, bigint) IS
$$Give a lease back; false if it was lost.$$;

-- functions/monitoring/_foreign_locks.sql
CREATE OR REPLACE FUNCTION _foreign_locks()
RETURNS TABLE (
  session text,
  role text,
  key text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  installer bigint := hashtextextended('pgstore:install:' || current_schema() COLLATE "C", 0);
BEGIN
  RETURN QUERY
  WITH keys AS MATERIALIZED (
    SELECT DISTINCT
      l.pid, l.virtualtransaction,
      CASE
        WHEN l.objsubid = 1 THEN
          CASE WHEN l.classid::bigint << 32 | l.objid::bigint = installer THEN 'installer' END
        WHEN l.classid::bigint = _stream_lock_class()::bigint & 4294967295 THEN 'stream'
        WHEN (l.classid::bigint - _mark_lock_class()) & 4294967295 <= 64 THEN 'mark'
        WHEN l.classid::bigint = _bell_lock_class()::bigint & 4294967295 THEN 'bell'
        WHEN l.classid::bigint = _gate_lock_class()::bigint & 4294967295 THEN 'gate'
      END AS key
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory'
      AND l.granted
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  ),
  held AS MATERIALIZED (
    SELECT
      k.key,
      coalesce('pid ' || k.pid, x.gid) AS session,
      coalesce(a.usename, x.owner)::text AS role,
      -- No function of the store leaves such a key to a session without a transaction. A second,
      -- because the locks were looked at a moment before.
      k.key <> 'bell' AND a.state = 'idle'
        AND a.state_change < clock_timestamp() - interval '1 second' AS idle
    FROM keys AS k
    LEFT JOIN pg_stat_activity AS a ON a.pid = k.pid
    LEFT JOIN pg_prepared_xacts AS x ON k.pid IS NULL
      AND x.transaction IN (
        SELECT t.transactionid
        FROM pg_locks AS t
        WHERE t.locktype = 'transactionid'
          AND t.pid IS NULL
          AND t.virtualtransaction = k.virtualtransaction
      )
    WHERE k.key IS NOT NULL
  ),
  rights AS MATERIALIZED (
    SELECT d.role, d.key, _may_lock(d.role, d.key) AS may
    FROM (SELECT DISTINCT h.role, h.key FROM held AS h WHERE h.role IS NOT NULL) AS d
  )
  SELECT h.session, h.role, h.key
  FROM held AS h
  JOIN rights AS r ON r.role = h.role AND r.key = h.key
  WHERE h.idle OR NOT r.may
  ORDER BY h.session, h.key;
END
$$;

COMMENT ON FUNCTION _foreign_locks() IS
$$Internal: list sessions, and prepared transactions, that seem to hold an advisory lock of the
store without one of its functions: their role has no right to such a function, or they hold the
lock outside a transaction. Each role that may connect can take any advisory lock.$$;

-- functions/monitoring/_server_health.sql
CREATE OR REPLACE FUNCTION _server_health()
RETURNS TABLE (
  name text,
  status text,
  value text,
  remedy text
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    c.name,
    CASE WHEN current_setting(c.name) = ANY (c.good) THEN 'ok' ELSE c.otherwise END,
    current_setting(c.name),
    c.remedy
  FROM (
    VALUES
      (
        'default_transaction_isolation', '{read committed}'::text[], 'fail',
        'Reading across streams needs READ COMMITTED: ALTER DATABASE … SET '
          'default_transaction_isolation = ''read committed'', or set it in the session.'
      ),
      (
        'fsync', '{on}', 'fail',
        'A crash of the machine can destroy the database: set it to on.'
      ),
      (
        'full_page_writes', '{on}', 'fail',
        'A crash of the machine can destroy the database: set it to on.'
      ),
      (
        'synchronous_commit', '{on,local,remote_write,remote_apply}', 'warn',
        'A crash of the server can lose writes that were answered: set it to on, unless that is '
          'what you want.'
      ),
      (
        'autovacuum', '{on}', 'fail',
        'Tables bloat, and the server stops when transaction ids run out: set it to on.'
      ),
      (
        'track_counts', '{on}', 'fail',
        'Autovacuum does nothing without it: set it to on.'
      ),
      (
        'TimeZone', ARRAY[current_setting('TimeZone')], 'ok',
        'Times are stored as instants; the setting says only how they are shown.'
      )
  ) AS c (name, good, otherwise, remedy)
  UNION ALL
  SELECT
    'transaction_ids',
    CASE WHEN d.age > 1500000000 THEN 'fail' WHEN d.age > 600000000 THEN 'warn' ELSE 'ok' END,
    d.age::text,
    'Transaction ids run out at 2 billion: see why autovacuum does not freeze (long transactions, '
      'prepared transactions, replication slots), and run VACUUM.'
  FROM (
    SELECT age(p.datfrozenxid) AS age FROM pg_database AS p WHERE p.datname = current_database()
  ) AS d
  UNION ALL
  SELECT
    'replication_slots',
    CASE
      WHEN max(s.bytes) > 10737418240 THEN 'fail'
      WHEN max(s.bytes) > 1073741824 OR bool_or(s.lost) THEN 'warn'
      ELSE 'ok'
    END,
    coalesce(
      string_agg(format('%s: %s', s.slot_name, pg_size_pretty(s.bytes)), ', ')
        FILTER (WHERE s.bytes > 1073741824 OR s.lost),
      'none retains more than 1 GB'
    ),
    'WAL is kept for a slot that nobody reads until the disk is full: let its reader catch up, or '
      'pg_drop_replication_slot.'
  FROM (
    SELECT
      r.slot_name,
      pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
        r.restart_lsn
      ) AS bytes,
      coalesce(r.wal_status IN ('lost', 'unreserved'), false) AS lost
    FROM pg_replication_slots AS r
  ) AS s
  UNION ALL
  SELECT
    'prepared_transactions',
    CASE WHEN count(*) FILTER (WHERE x.prepared < now() - interval '5 minutes') > 0
      THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(x.gid, ', ') FILTER (WHERE x.prepared < now() - interval '5 minutes'),
      'none older than 5 minutes'
    ),
    'It keeps its locks, and vacuum from cleaning, even over a restart: COMMIT PREPARED or '
      'ROLLBACK PREPARED.'
  FROM pg_prepared_xacts AS x
  WHERE x.database = current_database()
  UNION ALL
  SELECT
    'idle_in_transaction',
    CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(format('pid %s (%s)', a.pid, a.usename), ', ' ORDER BY a.xact_start),
      'none for more than 5 minutes'
    ),
    'It keeps its locks, and vacuum from cleaning: end it with pg_terminate_backend, and set '
      'idle_in_transaction_session_timeout.'
  FROM pg_stat_activity AS a
  WHERE a.datname = current_database()
    AND a.state LIKE 'idle in transaction%'
    AND a.xact_start < now() - interval '5 minutes';
END
$$;

COMMENT ON FUNCTION _server_health() IS
$$Internal: the part of health that is about the server and its settings.$$;

-- functions/monitoring/_subscription_health.sql
CREATE OR REPLACE FUNCTION _subscription_health()
RETURNS TABLE (
  name text,
  status text,
  value text,
  remedy text
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    'subscription_stopped',
    CASE WHEN count(*) FILTER (WHERE l.state = 'stopped') > 0 THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(
        DISTINCT l.subscription || '/' || l.partition, ', '
      ) FILTER (WHERE l.state = 'stopped'),
      'none'
    ),
    'list_partitions() shows the error. Mend the handler, then resume_subscription.'
  FROM list_partitions() AS l
  UNION ALL
  SELECT
    'subscription_paused',
    CASE WHEN count(*) FILTER (WHERE l.state = 'paused') > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(string_agg(DISTINCT l.subscription, ', ') FILTER (WHERE l.state = 'paused'), 'none'),
    'resume_subscription lets it go on.'
  FROM list_partitions() AS l
  UNION ALL
  SELECT
    'subscription_behind',
    CASE WHEN count(*) FILTER (WHERE l.behind > 100000) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(
        DISTINCT format('%s: %s', l.subscription, l.behind), ', '
      ) FILTER (WHERE l.behind > 100000),
      'none by more than 100000'
    ),
    'See whether its workers run. More of them, or more partitions, handle more.'
  FROM list_partitions() AS l
  UNION ALL
  SELECT
    'subscription_stuck',
    CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(
        format('%s/%s: %s leases at %s', k.subscription, k.partition, k.leases_since, k.checkpoint),
        ', '
      ),
      'none'
    ),
    'The checkpoint has not moved over several leases. list_partitions() shows who works on it and '
      'the last error; see why its workers end, and which message comes after the checkpoint.'
  FROM list_stuck() AS k
  UNION ALL
  SELECT
    'parked_messages',
    CASE WHEN sum(k.parked) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(format('%s: %s', k.subscription, k.parked), ', ') FILTER (WHERE k.parked > 0),
      'none'
    ),
    'list_parked shows the errors. Mend the handler, then replay_parked, or drop_parked.'
  FROM count_parked() AS k
  UNION ALL
  SELECT
    'scheduled_messages',
    CASE WHEN c.overdue > 0 THEN 'warn' ELSE 'ok' END,
    format('%s scheduled, %s overdue', c.scheduled, c.overdue),
    'They have been due for more than a minute: see whether a process runs that calls '
      'deliver_scheduled, and which transactions hold their streams.'
  FROM count_scheduled() AS c
  UNION ALL
  SELECT
    'retention_waits',
    CASE WHEN count(*) FILTER (WHERE r.waits) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(string_agg(r.category, ', ') FILTER (WHERE r.waits), 'none'),
    'A subscription has not handled messages whose time is over. Let it catch up or drop it, or '
      'set keep_unhandled to false.'
  FROM list_retention() AS r;
END
$$;

COMMENT ON FUNCTION _subscription_health() IS
$$Internal: the part of health that is about subscriptions and retention.$$;

-- functions/monitoring/count_parked.sql
CREATE OR REPLACE FUNCTION count_parked()
RETURNS TABLE (
  subscription text,
  parked bigint,
  oldest_parked_at timestamptz
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.subscription, count(k.global_position), min(k.parked_at)
  FROM subscriptions AS s
  LEFT JOIN parked_messages AS k USING (subscription_id)
  WHERE _in_store()
  GROUP BY s.subscription
  ORDER BY s.subscription;
END
$$;

COMMENT ON FUNCTION count_parked() IS
$$How many messages each subscription has put aside, and since when.$$;

-- functions/monitoring/health.sql
CREATE OR REPLACE FUNCTION health()
RETURNS TABLE (
  name text,
  status text,
  value text,
  remedy text
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  store oid := quote_ident(current_schema())::regnamespace::oid;
BEGIN
  -- First the view, then tables, as an upgrade locks them.
  RETURN QUERY
  SELECT
    'writers_in_flight',
    CASE
      WHEN min(w.since) < clock_timestamp() - interval '5 minutes' THEN 'fail'
      WHEN min(w.since) < clock_timestamp() - interval '30 seconds' THEN 'warn'
      ELSE 'ok'
    END,
    coalesce(
      CASE WHEN pg_is_in_recovery() THEN 'not known on a standby' END,
      string_agg(
        format('%s since %s', coalesce('pid ' || w.pid, w.prepared_transaction), w.since), ', '
        ORDER BY w.since
      ) FILTER (WHERE w.since < clock_timestamp() - interval '30 seconds'),
      'none for more than 30 seconds'
    ),
    'Readers across streams stop before what it may still write: end it with '
      'pg_terminate_backend, COMMIT PREPARED or ROLLBACK PREPARED, and see who leaves transactions '
      'open.'
  FROM writers_in_flight AS w;

  RETURN QUERY
  SELECT
    'foreign_locks',
    CASE WHEN count(*) > 0 THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(
        format('%s of %s: %s', f.session, f.role, f.keys), ', ' ORDER BY f.session
      ),
      'none'
    ),
    'It holds back readers (mark), writers (stream), what waits for new messages (bell), or grants '
      'and installations (installer), and is none of the store''s: end it with '
      'pg_terminate_backend, and see who may connect: REVOKE CONNECT ON DATABASE … FROM PUBLIC.'
  FROM (
    SELECT g.session, g.role, string_agg(g.key, ' and ' ORDER BY g.key) AS keys
    FROM _foreign_locks() AS g
    GROUP BY g.session, g.role
  ) AS f;

  RETURN QUERY
  SELECT
    'sequences',
    CASE WHEN count(*) > 0 THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(format('%s is at %s, %s is stored', l.sequence, l.last_value, l.highest), '; '),
      'none is behind'
    ),
    'Tables were copied without their sequences, or a sequence was set back: keep writers out, and '
      'let the owner call repair_sequences().'
  FROM list_sequences() AS l
  WHERE l.last_value < l.highest;

  RETURN QUERY
  SELECT h.name, h.status, h.value, h.remedy FROM _subscription_health() AS h;

  RETURN QUERY
  SELECT
    'dead_messages',
    CASE
      WHEN t.n_dead_tup > 100000 AND t.n_dead_tup > t.n_live_tup THEN 'fail'
      WHEN t.n_dead_tup > 100000 AND t.n_dead_tup > 0.4 * t.n_live_tup THEN 'warn'
      ELSE 'ok'
    END,
    t.n_dead_tup::text,
    'Deleted messages wait for vacuum: VACUUM the table messages, and see what keeps autovacuum '
      'from it.'
  FROM pg_stat_all_tables AS t
  WHERE t.relid = (
    SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = store AND c.relname = 'messages'
  )
  UNION ALL
  SELECT
    'table_settings',
    CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(string_agg(c.relname, ', '), 'autovacuum is on for every table'),
    'ALTER TABLE … RESET (autovacuum_enabled).'
  FROM pg_class AS c
  WHERE c.relnamespace = store
    AND c.relkind = 'r'
    AND c.reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off'];

  RETURN QUERY
  SELECT h.name, h.status, h.value, h.remedy FROM _server_health() AS h;
END
$$;

COMMENT ON FUNCTION health() IS
$$Return one row for each check of the store and the server: its status (ok, warn, fail), its value,
and a remedy. Cheap enough for every minute. A role that may not see other roles' sessions
(pg_read_all_stats) gets less, and so does a call on a standby.$$;

-- functions/monitoring/list_stuck.sql
CREATE OR REPLACE FUNCTION list_stuck(
  leases bigint DEFAULT 5
)
RETURNS TABLE (
  subscription text,
  partition bigint,
  checkpoint bigint,
  leases_since bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.subscription, p.partition, p.checkpoint, p.leases
  FROM subscription_partitions AS p
  JOIN subscriptions AS s USING (subscription_id)
  LEFT JOIN subscription_heads AS h USING (subscription_id, partition)
  WHERE _in_store()
    AND p.leases >= list_stuck.leases
    AND _may_wait(p.checkpoint, p.swept_position, h.head)
    AND NOT p.stopped
    AND NOT s.paused
  ORDER BY s.subscription, p.partition;
END
$$;

COMMENT ON FUNCTION list_stuck(bigint) IS
$$The partitions in which messages wait, and whose checkpoint has not moved over so many leases:
their workers end, lose their connections, or fail, at the same message. Not those that are stopped
or paused.$$;

-- functions/monitoring/store_statistics.sql
CREATE OR REPLACE FUNCTION store_statistics(
  OUT safe_position bigint,
  OUT last_position bigint,
  OUT in_flight boolean,
  OUT streams_estimate bigint,
  OUT messages_estimate bigint,
  OUT dead_messages bigint,
  OUT table_bytes bigint,
  OUT index_bytes bigint,
  OUT subscriptions bigint,
  OUT parked_messages bigint,
  OUT last_vacuum_at timestamptz,
  OUT oldest_writer_started_at timestamptz,
  OUT oldest_writer_pid integer,
  OUT oldest_writer_prepared text
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  store oid := quote_ident(current_schema())::regnamespace::oid;
BEGIN
  -- First the view, then tables, as an upgrade locks them.
  SELECT w.since, w.pid, w.prepared_transaction
  INTO oldest_writer_started_at, oldest_writer_pid, oldest_writer_prepared
  FROM writers_in_flight AS w
  ORDER BY w.since
  LIMIT 1;
  IF NOT pg_is_in_recovery() THEN
    SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
  END IF;
  last_position := last_position();

  -- The estimates of autovacuum and ANALYZE: -1 before their first run.
  SELECT
    max(greatest(c.reltuples, 0)::bigint) FILTER (WHERE c.relname = 'streams'),
    max(greatest(c.reltuples, 0)::bigint) FILTER (WHERE c.relname = 'messages'),
    sum(pg_table_size(c.oid))::bigint,
    sum(pg_indexes_size(c.oid))::bigint
  INTO streams_estimate, messages_estimate, table_bytes, index_bytes
  FROM pg_class AS c
  WHERE c.relnamespace = store AND c.relkind = 'r';
  SELECT t.n_dead_tup, greatest(t.last_vacuum, t.last_autovacuum)
  INTO dead_messages, last_vacuum_at
  FROM pg_stat_all_tables AS t
  WHERE t.relid = (
    SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = store AND c.relname = 'messages'
  );

  SELECT count(*), coalesce(sum(k.parked), 0)::bigint INTO subscriptions, parked_messages
  FROM count_parked() AS k;
END
$$;

COMMENT ON FUNCTION store_statistics() IS
$$Return one row about the store, cheap enough for every few seconds: safe and last position,
whether a transaction that writes is open, and when the first of these began. The numbers of streams
and messages are estimates of the last ANALYZE. Bytes of tables include TOAST. Further columns count
dead messages that wait for vacuum, subscriptions, and parked messages. A role that may not see
other roles' sessions (pg_read_all_stats) gets no time of theirs. On a standby, safe_position and
in_flight are NULL, and last_position is that of the last message it has.$$;

-- functions/names/category.sql
CREATE OR REPLACE FUNCTION category(
  stream text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
RETURN split_part(category.stream COLLATE "C", '-', 1);

COMMENT ON FUNCTION category(text) IS
$$Category of a stream: the part of its name before the first "-", or the whole name if there is
none. NULL for NULL.$$;

-- functions/names/new_message_id.sql
-- 48 bits of milliseconds, the version, 12 bits of the rest of the millisecond, then the half of a
-- random UUID that holds the variant (RFC 9562).
CREATE OR REPLACE FUNCTION new_message_id()
RETURNS uuid
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN (
  SELECT encode(
    int8send((n.us / 1000 << 16) | 28672 | (n.us % 1000 * 4096 / 1000))
      || substring(uuid_send(gen_random_uuid()) FROM 9),
    'hex'
  )::uuid
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS n
);

COMMENT ON FUNCTION new_message_id() IS
$$A new UUID of version 7: ids made later sort later, to about a microsecond.$$;

-- PostgreSQL makes them itself from version 18 on.
DO $do$
BEGIN
  IF current_setting('server_version_num')::integer >= 180000 THEN
    CREATE OR REPLACE FUNCTION new_message_id()
    RETURNS uuid
    LANGUAGE sql
    VOLATILE
    PARALLEL SAFE
    RETURN uuidv7();
  END IF;
END
$do$;

-- functions/parked/_lock_parked.sql
CREATE OR REPLACE FUNCTION _lock_parked(
  subscription_id bigint,
  global_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- In one order: an UPDATE or DELETE of several rows takes them in any.
  PERFORM FROM parked_messages AS k
  WHERE k.subscription_id = _lock_parked.subscription_id
    AND (_lock_parked.global_position IS NULL
      OR k.global_position = _lock_parked.global_position)
  ORDER BY k.global_position
  FOR UPDATE;
END
$$;

COMMENT ON FUNCTION _lock_parked(bigint, bigint) IS
$$Internal: lock the row of one parked message of a subscription, or of all (NULL), in the order of
their positions.$$;

-- functions/parked/drop_parked.sql
CREATE OR REPLACE FUNCTION drop_parked(
  subscription text,
  global_position bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
  dropped bigint;
BEGIN
  PERFORM _refuse_stranger('drop_parked');
  source := _lock_subscription(subscription);
  PERFORM _lock_parked(source.subscription_id, global_position);
  DELETE FROM parked_messages AS k
  WHERE k.subscription_id = source.subscription_id
    AND (drop_parked.global_position IS NULL OR k.global_position = drop_parked.global_position);
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END
$$;

COMMENT ON FUNCTION drop_parked(text, bigint) IS
$$Forget one parked message, or all, as dealt with; answers how many. The messages themselves stay
in the store. Raises MS021 for an unknown subscription.$$;

-- functions/parked/list_parked.sql
CREATE OR REPLACE FUNCTION list_parked(
  subscription text
)
RETURNS TABLE (
  global_position bigint,
  stream text,
  version bigint,
  type text,
  message_id uuid,
  partition bigint,
  attempts bigint,
  parked_at timestamptz,
  replay boolean,
  error text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  RETURN QUERY
  SELECT
    k.global_position, s.stream, m.version, m.type, m.message_id, k.partition, k.attempts,
    k.parked_at, k.replay, k.error
  FROM parked_messages AS k
  -- LIMIT keeps this one look-up for each, whatever the planner thinks of the sizes.
  LEFT JOIN LATERAL (
    SELECT i.stream_id, i.version, i.type, i.message_id
    FROM messages AS i
    WHERE i.global_position = k.global_position
    LIMIT 1
  ) AS m ON true
  LEFT JOIN LATERAL (
    SELECT i.stream FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
  ) AS s ON true
  WHERE k.subscription_id = source.subscription_id
  ORDER BY k.global_position;
END
$$;

COMMENT ON FUNCTION list_parked(text) IS
$$The messages that a subscription has put aside, with the error of the last attempt. Of one that
was deleted since, stream, version, type and id are NULL: it is not handed out again; drop_parked
forgets it.$$;

-- functions/parked/replay_parked.sql
CREATE OR REPLACE FUNCTION replay_parked(
  subscription text,
  global_position bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
  marked bigint;
BEGIN
  PERFORM _refuse_stranger('replay_parked');
  source := _lock_subscription(subscription);
  PERFORM _lock_parked(source.subscription_id, global_position);
  UPDATE parked_messages AS k
  SET replay = true
  WHERE k.subscription_id = source.subscription_id
    AND (replay_parked.global_position IS NULL
      OR k.global_position = replay_parked.global_position)
    -- Not EXISTS: for a join the planner may walk along all messages (tests/plans).
    AND (
      SELECT m.global_position FROM messages AS m WHERE m.global_position = k.global_position
    ) IS NOT NULL;
  GET DIAGNOSTICS marked = ROW_COUNT;
  PERFORM _notify_sleepers();
  RETURN marked;
END
$$;

COMMENT ON FUNCTION replay_parked(text, bigint) IS
$$Have one parked message, or all, handed out again; return how many. The worker of its partition
handles it, and it stays parked if it fails once more. A message that was deleted since is left out.
Raises MS021 for an unknown subscription.$$;

-- functions/parked/settle_parked.sql
CREATE OR REPLACE FUNCTION settle_parked(
  subscription text,
  partition bigint,
  token bigint,
  global_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  -- The lease is locked for as long as the transaction lasts, so that nobody replays it meanwhile.
  UPDATE subscription_partitions AS p
  SET leases = 0  -- progress, if not of the checkpoint
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = settle_parked.partition
    AND p.token = settle_parked.token;
  IF NOT FOUND THEN
    PERFORM _refuse_lease(subscription, partition, token);
  END IF;
  DELETE FROM parked_messages AS k
  WHERE k.subscription_id = source.subscription_id
    AND k.global_position = settle_parked.global_position
    AND k.partition = settle_parked.partition
    AND k.replay;
  IF NOT FOUND THEN
    PERFORM _refuse_value(
      'global_position', 'must be that of a parked message of this partition under replay',
      to_jsonb(global_position)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION settle_parked(text, bigint, bigint, bigint) IS
$$Acknowledge a parked message that was replayed, in the handler's own transaction. Raises MS020 if
the lease is lost; 22023 if it is not under replay.$$;

-- functions/positions/_last_visible.sql
CREATE OR REPLACE FUNCTION _last_visible(
  up_to_position bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN coalesce(
    (
      SELECT m.global_position
      FROM messages AS m
      WHERE m.global_position <= up_to_position
      ORDER BY m.global_position DESC
      LIMIT 1
    ),
    0
  );
END
$$;

COMMENT ON FUNCTION _last_visible(bigint) IS
$$Internal: return the position of the last message that the snapshot sees up to a position; 0 if
there is none. Positions beyond it that were drawn and rolled back are not durable: after a
crash the sequence gives them again, and a reader that had stored one would skip a message.$$;

-- functions/positions/last_position.sql
CREATE OR REPLACE FUNCTION last_position()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  -- A standby has the sequence as it will be after a crash: ahead by up to 32.
  IF pg_is_in_recovery() THEN
    RETURN _last_visible(9223372036854775807);
  END IF;
  RETURN _drawn_position();
END
$$;

COMMENT ON FUNCTION last_position() IS
$$The highest global position that was ever given out, to a message that may be in flight, gone, or
never committed; 0 while the store is empty. On a standby, that of the last message it has.$$;

-- functions/positions/position_before.sql
CREATE OR REPLACE FUNCTION position_before(
  moment timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
STRICT
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  low bigint := bigint '0';
  high bigint := (horizon()).safe_position;
  middle bigint;
  probe record;
BEGIN
  -- Times rise with positions, except where writers overtook one another: bisect, then look back.
  WHILE low < high LOOP
    middle := (low + high) / 2;
    SELECT m.global_position, m.added_at INTO probe
    FROM messages AS m
    WHERE m.global_position > middle
    ORDER BY m.global_position
    LIMIT 1;
    IF probe.added_at < moment AND probe.global_position <= high THEN
      low := probe.global_position;
    ELSE
      high := middle;
    END IF;
  END LOOP;
  RETURN least(
    low,
    (
      SELECT m.global_position - 1
      FROM messages AS m
      WHERE m.global_position > low - 10000
        AND m.global_position <= low
        AND m.added_at >= moment
      ORDER BY m.global_position
      LIMIT 1
    )
  );
END
$$;

COMMENT ON FUNCTION position_before(timestamptz) IS
$$Return the global position after which all messages added at moment or later are. A few that are a
little older can be after it too, where writers overtook one another. Imported messages have the
times of the store they come from. Where these are older than messages before them, or newer than
messages after them, no position divides them by time. The answer is then a position at which the
times pass moment; give a position instead of a time.$$;

-- functions/positions/safe_position.sql
CREATE OR REPLACE FUNCTION safe_position()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  -- A statement of its own, before the one that reads: its snapshot must be the later one.
  RETURN _last_visible((horizon()).safe_position);
END
$$;

COMMENT ON FUNCTION safe_position() IS
$$Return the global position of the last message that can be read without passing a message in
flight; 0 if there is none. A reader can store it and continue after it, also after a crash of the
server: its message is as durable as its commit. See horizon().$$;

-- functions/positions/skip_positions.sql
CREATE OR REPLACE FUNCTION skip_positions(
  positions bigint DEFAULT 1000000
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  drawn record;
BEGIN
  PERFORM _refuse_stranger('skip_positions');
  IF (positions BETWEEN 1 AND 1000000000000) IS NOT TRUE THEN
    PERFORM _refuse_value('positions', 'must be between 1 and 1000000000000', to_jsonb(positions));
  END IF;
  -- One of these at a time: with two, the later setval could set the sequence back behind positions
  -- that writers drew after the first.
  PERFORM _lock_rights();
  SELECT l.last_value, l.highest INTO drawn
  FROM list_sequences() AS l
  WHERE l.sequence = 'global_position_seq';
  IF positions <= 100000 AND drawn.last_value >= drawn.highest THEN
    -- One by one: writers can draw more than a few between the look at the last position and
    -- setval, which would then set the sequence back, and give theirs again.
    RETURN (
      SELECT max(nextval('global_position_seq')) FROM generate_series(1, skip_positions.positions)
    );
  END IF;
  RETURN setval(
    'global_position_seq', greatest(drawn.last_value, drawn.highest) + skip_positions.positions
  );
END
$$;

COMMENT ON FUNCTION skip_positions(bigint) IS
$$Set the sequence of global positions ahead by so many, and return its new last position. Call it
on the server that takes over after an asynchronous failover, before writers connect. Then no new
message gets a position that the lost server may have given to another message, so a reader of those
skips none of the new ones. If the sequence is behind (MS007), count from the highest stored
position. Raises 22023 for a bad argument.$$;

-- functions/read/_range_of_all.sql
CREATE OR REPLACE FUNCTION _range_of_all(
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text,
  metadata jsonb DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at
  FROM (
    SELECT
      m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
      m.stream_id
    FROM messages AS m
    -- LIMIT keeps this one look-up for each message, whatever the planner thinks of the sizes.
    CROSS JOIN LATERAL (
      SELECT i.stream FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    WHERE m.global_position > _range_of_all.after_position
      AND m.global_position <= _range_of_all.up_to_position
      AND (_range_of_all.types IS NULL OR m.type = ANY (_range_of_all.types COLLATE "C"))
      AND (_range_of_all.metadata IS NULL OR m.metadata @> _range_of_all.metadata)
    ORDER BY m.global_position
    -- Filters that need more of a message than its stream's id come after the look-up: otherwise
    -- the planner could not remember names by id.
    OFFSET 0
  ) AS r
  WHERE (
      _range_of_all.stream_pattern IS NULL
      OR r.stream LIKE _range_of_all.stream_pattern COLLATE "C"
    )
    AND (
      _range_of_all.partitions IS NULL
      OR _range_of_all.partition = CASE
        WHEN _range_of_all.partition_by = 'stream'
          THEN _stream_partition(r.stream_id, _range_of_all.partitions)
        ELSE _partition_of(
          r.stream_id, r.stream, r.metadata, _range_of_all.partitions,
          _range_of_all.partition_by
        )
      END
    )
  ORDER BY r.global_position
  LIMIT _range_of_all.max_count;
END;

COMMENT ON FUNCTION _range_of_all(
  bigint, bigint, bigint, text[], text, bigint, bigint, text, jsonb
) IS
$$Internal: messages between two positions in global order, with filters that NULL leaves out.
Inlined into its callers, which have the planner walk along the index, hence without settings of its
own.$$;

-- functions/read/_range_of_category.sql
CREATE OR REPLACE FUNCTION _range_of_category(
  category text,
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text,
  metadata jsonb DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at
  FROM (
    SELECT
      m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
      m.stream_id, m.category_key
    FROM messages AS m
    -- LIMIT keeps this one look-up for each message, whatever the planner thinks of the sizes.
    CROSS JOIN LATERAL (
      SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    -- Rows are compared, and ordered by both, because only the category's index can do that: for a
    -- plain range the planner may walk along all messages (tests/plans).
    WHERE (m.category_key, m.global_position)
        > (_category_key(_range_of_category.category), _range_of_category.after_position)
      AND (m.category_key, m.global_position)
        <= (_category_key(_range_of_category.category), _range_of_category.up_to_position)
      AND s.category = _range_of_category.category
      AND (_range_of_category.types IS NULL OR m.type = ANY (_range_of_category.types COLLATE "C"))
      AND (_range_of_category.metadata IS NULL OR m.metadata @> _range_of_category.metadata)
    ORDER BY m.category_key, m.global_position
    OFFSET 0  -- as in _range_of_all
  ) AS r
  WHERE (
      _range_of_category.stream_pattern IS NULL
      OR r.stream LIKE _range_of_category.stream_pattern COLLATE "C"
    )
    AND (
      _range_of_category.partitions IS NULL
      OR _range_of_category.partition = CASE
        WHEN _range_of_category.partition_by = 'stream'
          THEN _stream_partition(r.stream_id, _range_of_category.partitions)
        ELSE _partition_of(
          r.stream_id, r.stream, r.metadata, _range_of_category.partitions,
          _range_of_category.partition_by
        )
      END
    )
  ORDER BY r.category_key, r.global_position
  LIMIT _range_of_category.max_count;
END;

COMMENT ON FUNCTION _range_of_category(
  text, bigint, bigint, bigint, text[], text, bigint, bigint, text, jsonb
) IS
$$Internal: as _range_of_all, of one category, by its index.$$;

-- functions/read/_range_of_several.sql
CREATE OR REPLACE FUNCTION _range_of_several(
  categories text[],
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text,
  metadata jsonb DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at
  FROM (
    SELECT DISTINCT u.category COLLATE "C" AS category
    FROM unnest(_range_of_several.categories) AS u (category)
  ) AS c
  CROSS JOIN LATERAL (
    SELECT
      o.message_id, o.stream, o.version, o.global_position, o.type, o.data, o.metadata, o.added_at
    FROM _range_of_category(
      c.category, _range_of_several.after_position, _range_of_several.up_to_position,
      _range_of_several.max_count, _range_of_several.types, _range_of_several.stream_pattern,
      _range_of_several.partition, _range_of_several.partitions,
      _range_of_several.partition_by, _range_of_several.metadata
    ) AS o
  ) AS r
  ORDER BY r.global_position
  LIMIT _range_of_several.max_count;
END;

COMMENT ON FUNCTION _range_of_several(
  text[], bigint, bigint, bigint, text[], text, bigint, bigint, text, jsonb
) IS
$$Internal: as _range_of_all, of some categories: the first messages of each by its index,
merged.$$;

-- functions/read/_window_of.sql
CREATE OR REPLACE FUNCTION _window_of(
  categories text[],
  after_position bigint,
  safe bigint,
  window_size bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  to_position bigint;
BEGIN
  IF safe - after_position <= window_size THEN
    RETURN safe;
  ELSIF _window_of.categories IS NULL THEN
    SELECT m.global_position INTO to_position
    FROM messages AS m
    WHERE m.global_position > after_position AND m.global_position <= safe
    ORDER BY m.global_position
    OFFSET window_size - 1
    LIMIT 1;
  ELSE
    -- The window of the fullest category; the others' rows in it are fewer.
    SELECT min(o.global_position) INTO to_position
    FROM unnest(_window_of.categories) AS c (category)
    CROSS JOIN LATERAL (
      SELECT m.global_position
      FROM messages AS m
      -- Rows are compared as in _range_of_category.
      WHERE (m.category_key, m.global_position) > (_category_key(c.category), after_position)
        AND (m.category_key, m.global_position) <= (_category_key(c.category), safe)
      ORDER BY m.category_key, m.global_position
      OFFSET window_size - 1
      LIMIT 1
    ) AS o;
  END IF;
  RETURN coalesce(to_position, safe);
END
$$;

COMMENT ON FUNCTION _window_of(text[], bigint, bigint, bigint) IS
$$Internal: return the global position up to which there are at most so many messages of these
categories, or of all, to look at, so that no look takes long.$$;

-- functions/read/get_message.sql
CREATE OR REPLACE FUNCTION get_message(
  message_id uuid
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- Not a join: for one the planner may read all of a table that is small, now or once.
  RETURN QUERY
  SELECT
    m.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id),
    m.version, m.global_position, m.type, m.data, m.metadata, m.added_at
  FROM messages AS m
  WHERE _in_store() AND m.message_id = get_message.message_id;
END
$$;

COMMENT ON FUNCTION get_message(uuid) IS
$$The message with this id; no row if there is none.$$;

-- functions/read/get_messages.sql
CREATE OR REPLACE FUNCTION get_messages(
  message_ids uuid[]
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    a.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = a.stream_id),
    a.version, a.global_position, a.type, a.data, a.metadata, a.added_at
  FROM (
    SELECT g.message_id, min(g.n) AS n
    FROM unnest(get_messages.message_ids) WITH ORDINALITY AS g (message_id, n)
    WHERE _in_store()
    GROUP BY g.message_id
  ) AS w
  -- LIMIT keeps this one look-up by id for each message, whatever the planner thinks of the sizes.
  CROSS JOIN LATERAL (
    SELECT
      m.message_id, m.stream_id, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at
    FROM messages AS m
    WHERE m.message_id = w.message_id
    LIMIT 1
  ) AS a
  ORDER BY w.n;
END
$$;

COMMENT ON FUNCTION get_messages(uuid[]) IS
$$The messages with these ids, each once, in the order of the ids; those that do not exist are left
out.$$;

-- functions/read/last_message.sql
CREATE OR REPLACE FUNCTION last_message(
  stream text,
  type text DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  END IF;

  -- Not a join: for one the planner may sort the whole stream.
  RETURN QUERY
  SELECT
    m.message_id, last_message.stream, m.version, m.global_position, m.type, m.data, m.metadata,
    m.added_at
  FROM messages AS m
  WHERE _in_store()
    AND m.stream_id = (
      SELECT s.stream_id FROM streams AS s WHERE s.stream = last_message.stream COLLATE "C"
    )
    AND (last_message.type IS NULL OR m.type = last_message.type COLLATE "C")
  ORDER BY m.version DESC
  LIMIT 1;
END
$$;

COMMENT ON FUNCTION last_message(text, text) IS
$$The last message of a stream, or its last one of a type; no row if there is none. With a type it
goes back from the end of the stream until it finds one. Raises 22023 for a bad argument.$$;

-- functions/read/read_all.sql
CREATE OR REPLACE FUNCTION read_all(
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  categories text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  IF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  END IF;
  RETURN QUERY
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at
  FROM read_page(
    after_position, greatest(max_count, 1), types, categories, stream_pattern, partition,
    partitions, partition_by, up_to_position
  ) AS r
  WHERE r.message_id IS NOT NULL AND max_count > 0;
END
$$;

COMMENT ON FUNCTION read_all(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
) IS
$$Return messages of all streams in global order, at most max_count, after after_position
(exclusive). A reader that passes the last position it received as after_position sees every message
exactly once: read_all stops at the safe position, before anything in flight. Filters choose types,
categories, streams whose name is LIKE stream_pattern, and one partition of so many. The partition
is a hash of the stream, of the stream's cardinal_id (its id up to the first "+") or of
metadata:<key>. A NULL leaves out that filter. To choose messages by their metadata call
read_matching: where matches are rare, a call has to say how far it has looked. Raises 22023 for a
bad argument, MS004 under REPEATABLE READ and SERIALIZABLE, MS005 on a standby, MS006 if
after_position is beyond the last position of the store.$$;

-- functions/read/read_category.sql
CREATE OR REPLACE FUNCTION read_category(
  category text,
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  IF category IS NULL THEN
    PERFORM _refuse_value('category', 'must be the name of a category', to_jsonb(category));
  END IF;
  RETURN QUERY
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at
  FROM read_all(
    after_position, max_count, types, ARRAY[category], stream_pattern, partition, partitions,
    partition_by, up_to_position
  ) AS r;
END
$$;

COMMENT ON FUNCTION read_category(
  text, bigint, bigint, text[], text, bigint, bigint, text, bigint
) IS
$$Messages of a category's streams in global order: read_all with one category. By metadata:
read_matching.$$;

-- functions/read/read_correlated.sql
CREATE OR REPLACE FUNCTION read_correlated(
  correlation_id text,
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF (octet_length(correlation_id) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value('correlation_id', 'must be 1 to 255 bytes', to_jsonb(correlation_id));
  ELSIF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  END IF;
  -- Without it this would look at every message.
  IF (
    SELECT i.indisvalid
    FROM pg_index AS i
    WHERE i.indexrelid = to_regclass('messages_correlation_id_global_position_idx')
  ) IS NOT TRUE THEN
    PERFORM _refuse_missing_index();
  END IF;

  RETURN QUERY
  SELECT
    m.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id),
    m.version, m.global_position, m.type, m.data, m.metadata, m.added_at
  FROM messages AS m
  -- Rows are compared as in _range_of_category. The length is the index's condition.
  WHERE octet_length(m.metadata ->> 'correlation_id') <= 255
    AND ((m.metadata ->> 'correlation_id') COLLATE "C", m.global_position)
      > (read_correlated.correlation_id, after_position)
    AND ((m.metadata ->> 'correlation_id') COLLATE "C", m.global_position)
      <= (read_correlated.correlation_id, 9223372036854775807)
  ORDER BY (m.metadata ->> 'correlation_id') COLLATE "C", m.global_position
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION read_correlated(text, bigint, bigint) IS
$$Return the messages whose metadata has this "correlation_id", a text of 1 to 255 bytes, at its top
level, in global order, at most max_count, after after_position. Reads what is committed, also on a
standby and under every isolation level, and not only up to the safe position: a message that
commits later can come before the last one that was read. To follow them use read_matching. Raises
22023 for a bad argument, 55000 if the index of correlation ids is missing: an upgrade does not
build it on a large table.$$;

-- functions/read/read_matching.sql
CREATE OR REPLACE FUNCTION read_matching(
  metadata_filter jsonb,
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  categories text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL,
  max_looked bigint DEFAULT 10000
)
RETURNS TABLE (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  reached_position bigint,
  looked_position bigint,
  more boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint;
  from_position bigint := after_position;
  to_position bigint;
  found_count bigint;
BEGIN
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  ELSIF (max_looked >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_looked', 'must be 1 or more', to_jsonb(max_looked));
  ELSIF jsonb_typeof(metadata_filter) <> 'object' THEN
    PERFORM _refuse_value(
      'metadata_filter', 'must be a JSON object, or NULL for all', metadata_filter
    );
  END IF;
  PERFORM _refuse_filter(partition, partitions, partition_by, stream_pattern);
  PERFORM _refuse_isolation();

  -- A statement of its own, as in read_page.
  last_position := (horizon()).safe_position;
  IF after_position > last_position THEN
    PERFORM _refuse_position(after_position);
  END IF;
  last_position := greatest(least(last_position, up_to_position), after_position);
  -- First look at max_looked positions: they hold no more messages than that, which need not be
  -- counted. Count messages only if nothing is found there: the messages of a category can be far
  -- apart, and so can the positions that have a message.
  to_position := CASE
    WHEN last_position - after_position > max_looked THEN after_position + max_looked
    ELSE last_position
  END;
  LOOP
    IF categories IS NULL THEN
      RETURN QUERY
      SELECT
        r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
        r.added_at, NULL::bigint, NULL::bigint, NULL::boolean
      FROM _range_of_all(
        from_position, to_position, max_count, types, stream_pattern, partition, partitions,
        partition_by, metadata_filter
      ) AS r;
    ELSIF cardinality(categories) = 1 AND categories[1] IS NOT NULL THEN
      RETURN QUERY
      SELECT
        r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
        r.added_at, NULL::bigint, NULL::bigint, NULL::boolean
      FROM _range_of_category(
        categories[1], from_position, to_position, max_count, types, stream_pattern, partition,
        partitions, partition_by, metadata_filter
      ) AS r;
    ELSE
      RETURN QUERY
      SELECT
        r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
        r.added_at, NULL::bigint, NULL::bigint, NULL::boolean
      FROM _range_of_several(
        categories, from_position, to_position, max_count, types, stream_pattern, partition,
        partitions, partition_by, metadata_filter
      ) AS r;
    END IF;
    GET DIAGNOSTICS found_count = ROW_COUNT;
    EXIT WHEN found_count > 0 OR to_position = last_position OR from_position > after_position;
    from_position := to_position;
    to_position := _window_of(categories, from_position, last_position, max_looked);
  END LOOP;

  IF found_count < max_count THEN
    reached_position := greatest(_last_visible(to_position), after_position);
    looked_position := to_position;
    more := to_position < last_position;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION read_matching(
  jsonb, bigint, bigint, text[], text[], text, bigint, bigint, text, bigint, bigint
) IS
$$Read as read_page, only messages whose metadata contains metadata_filter, a JSON object, as
jsonb's operator @> says; a message without metadata contains nothing. A call looks at no more than
max_looked positions or, if it finds nothing there, at so many messages more: so it does not read
the whole store for a rare match. If there are fewer than max_count messages, a last row without a
message tells, besides the two positions of read_page, whether there is more to look at: then call
again after reached_position. Otherwise everything up to the safe position was looked at, or up to
up_to_position. Errors as read_all.$$;

-- functions/read/read_page.sql
CREATE OR REPLACE FUNCTION read_page(
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  categories text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL
)
RETURNS TABLE (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  reached_position bigint,
  looked_position bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  found_count bigint;
BEGIN
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;
  PERFORM _refuse_filter(partition, partitions, partition_by, stream_pattern);
  PERFORM _refuse_isolation();

  -- A statement of its own, before the one that reads: its snapshot must be the later one.
  safe := (horizon()).safe_position;
  IF after_position > safe THEN
    PERFORM _refuse_position(after_position);
  END IF;
  safe := greatest(least(safe, up_to_position), after_position);
  IF categories IS NULL THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      NULL::bigint, NULL::bigint
    FROM _range_of_all(
      after_position, safe, max_count, types, stream_pattern, partition, partitions, partition_by
    ) AS r;
  ELSIF cardinality(categories) = 1 AND categories[1] IS NOT NULL THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      NULL::bigint, NULL::bigint
    FROM _range_of_category(
      categories[1], after_position, safe, max_count, types, stream_pattern, partition, partitions,
      partition_by
    ) AS r;
  ELSE
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      NULL::bigint, NULL::bigint
    FROM _range_of_several(
      categories, after_position, safe, max_count, types, stream_pattern, partition, partitions,
      partition_by
    ) AS r;
  END IF;

  GET DIAGNOSTICS found_count = ROW_COUNT;
  IF found_count < max_count THEN
    reached_position := greatest(_last_visible(safe), after_position);
    looked_position := safe;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION read_page(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
) IS
$$Read as read_all, for a program that follows with filters. If there are fewer than max_count
messages, a last row without a message has two positions. reached_position is the one to continue
after: messages that the filters leave out up to there are not looked at again, and a reader can
store it. looked_position is how far this call has looked, which can be further if the last writers
rolled back: a reader that waits compares it with horizon(), and does not store it. Errors as
read_all.$$;

-- functions/read/read_stream.sql
CREATE OR REPLACE FUNCTION read_stream(
  stream text,
  from_version bigint DEFAULT NULL,
  max_count bigint DEFAULT 1000,
  backward boolean DEFAULT false
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source_id bigint;
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  ELSIF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  ELSIF backward IS NULL THEN
    PERFORM _refuse_value('backward', 'must be true or false', to_jsonb(backward));
  END IF;

  SELECT s.stream_id INTO source_id
  FROM streams AS s
  WHERE _in_store() AND s.stream = read_stream.stream COLLATE "C";

  IF backward THEN
    RETURN QUERY
    SELECT
      m.message_id, read_stream.stream, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at
    FROM messages AS m
    WHERE m.stream_id = source_id
      AND m.version <= coalesce(from_version, 9223372036854775807)
    ORDER BY m.version DESC
    LIMIT max_count;
  ELSE
    RETURN QUERY
    SELECT
      m.message_id, read_stream.stream, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at
    FROM messages AS m
    WHERE m.stream_id = source_id
      AND m.version >= coalesce(from_version, 0)
    ORDER BY m.version
    LIMIT max_count;
  END IF;
END
$$;

COMMENT ON FUNCTION read_stream(text, bigint, bigint, boolean) IS
$$Messages of a stream in the order of their versions, at most max_count, from from_version on
(inclusive); without it from the first message, or backward from the last. Of a stream that was cut
off, what is left. Nothing if the stream is empty. Raises 22023 for a bad argument.$$;

-- functions/read/stream_version.sql
CREATE OR REPLACE FUNCTION stream_version(
  stream text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN coalesce((SELECT v.version FROM _import_version(stream_version.stream) AS v), 0);
END
$$;

COMMENT ON FUNCTION stream_version(text) IS
$$Version of the stream's last message, also if that was cut off since; 0 if nothing was ever
written to the stream.$$;

-- functions/retention/_apply_policy.sql
CREATE OR REPLACE FUNCTION _apply_policy(
  policy retention_policies,
  safe bigint,
  max_messages bigint,
  OUT deleted bigint,
  OUT more boolean,
  OUT busy_stream text
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  bound bigint := safe;
  counted_before bigint := policy.keep_after;
BEGIN
  IF policy.keep_unhandled THEN
    bound := least(safe, _handled_position(policy.category));
  END IF;
  policy.keep_after := _count_kept(policy, safe);
  SELECT c.deleted, c.more, c.busy_stream INTO deleted, more, busy_stream
  FROM _cut_category(policy, bound, max_messages) AS c;
  IF deleted > 0 THEN
    PERFORM _record_audit(
      'apply_retention', policy.category, NULL, jsonb_build_object('deleted', deleted)
    );
    -- Counted some time ago: now that this is gone, it is to be counted again.
    more := more OR coalesce(policy.keep_after = counted_before, false);
  END IF;
END
$$;

COMMENT ON FUNCTION _apply_policy(retention_policies, bigint, bigint) IS
$$Internal: delete a batch of messages by a policy, and write it to the audit. The caller has locked
the policy.$$;

-- functions/retention/_count_kept.sql
CREATE OR REPLACE FUNCTION _count_kept(
  policy retention_policies,
  safe bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  IF policy.max_count IS NULL THEN
    RETURN NULL;
  ELSIF EXISTS (
    -- Rows are compared as in _range_of_category.
    SELECT
    FROM messages AS m
    WHERE (m.category_key, m.global_position)
        > (_category_key(policy.category), policy.reached_position)
      AND (m.category_key, m.global_position)
        <= (_category_key(policy.category), policy.keep_after)
  ) THEN
    -- Some messages that were found to be too many are still there: no need to count again.
    RETURN policy.keep_after;
  END IF;
  RETURN (
    SELECT m.global_position
    FROM messages AS m
    CROSS JOIN LATERAL (
      SELECT i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    WHERE (m.category_key, m.global_position)
        > (_category_key(policy.category), policy.reached_position)
      AND (m.category_key, m.global_position) <= (_category_key(policy.category), safe)
      AND s.category = policy.category
    ORDER BY m.category_key DESC, m.global_position DESC
    OFFSET policy.max_count
    LIMIT 1
  );
END
$$;

COMMENT ON FUNCTION _count_kept(retention_policies, bigint) IS
$$Internal: the global position that the newest max_count messages of a category are after; NULL if
there are not more. It counts them, so its result is kept in the policy until all before it are
gone.$$;

-- functions/retention/_cut_category.sql
CREATE OR REPLACE FUNCTION _cut_category(
  policy retention_policies,
  up_to_position bigint,
  max_messages bigint,
  OUT deleted bigint,
  OUT more boolean,
  OUT busy_stream text
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  -- max_age NULL: nothing expires by age.
  expires_before timestamptz := coalesce(clock_timestamp() - policy.max_age, '-infinity');
  batch record;
BEGIN
  WITH oldest AS MATERIALIZED (
    SELECT
      m.global_position, m.stream_id, m.version, s.stream,
      m.added_at < expires_before OR coalesce(m.global_position <= policy.keep_after, false)
        AS expired
    FROM messages AS m
    CROSS JOIN LATERAL (
      SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    -- Rows are compared as in _range_of_category.
    WHERE (m.category_key, m.global_position)
        > (_category_key(policy.category), policy.reached_position)
      AND (m.category_key, m.global_position) <= (_category_key(policy.category), up_to_position)
      AND s.category = policy.category
    ORDER BY m.category_key, m.global_position
    LIMIT max_messages
  ),
  -- In each stream only what comes before the first message that stays.
  prefixes AS MATERIALIZED (
    SELECT o.stream_id, o.stream, min(o.version) FILTER (WHERE NOT o.expired) AS stop,
      min(o.global_position) AS first_position
    FROM oldest AS o
    GROUP BY o.stream_id, o.stream
    HAVING min(o.version) FILTER (WHERE NOT o.expired) IS DISTINCT FROM min(o.version)
  ),
  -- The lock of the stream's writers: none of them computes a version while the stream's last
  -- message is deleted. A stream that another transaction has locked is left for another call.
  tried AS MATERIALIZED (
    SELECT
      p.stream_id, p.stream, p.stop, p.first_position,
      pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(p.stream COLLATE "C")) AS free
    FROM prefixes AS p
  ),
  judged AS MATERIALIZED (
    SELECT
      o.global_position, o.stream_id, o.version, o.expired,
      coalesce(
        (
          SELECT t.free AND (t.stop IS NULL OR o.version < t.stop)
          FROM tried AS t
          WHERE t.stream_id = o.stream_id
        ),
        false
      ) AS goes
    FROM oldest AS o
  )
  SELECT
    count(*) AS seen,
    max(j.global_position) AS last_position,
    max(j.global_position) FILTER (WHERE j.expired) AS last_expired,
    min(j.global_position) FILTER (WHERE NOT j.goes) AS first_kept,
    array_agg(j.global_position ORDER BY j.global_position) FILTER (WHERE j.goes) AS positions,
    array_agg(j.stream_id ORDER BY j.global_position) FILTER (WHERE j.goes) AS stream_ids,
    array_agg(j.version ORDER BY j.global_position) FILTER (WHERE j.goes) AS versions,
    (SELECT t.stream FROM tried AS t WHERE NOT t.free ORDER BY t.first_position LIMIT 1) AS busy
  INTO batch
  FROM judged AS j;

  IF batch.positions IS NOT NULL THEN
    LOCK TABLE messages, streams IN ROW EXCLUSIVE MODE;  -- as in _cut_stream
    BEGIN
      PERFORM _forget_errors(batch.positions);
    EXCEPTION
      -- Another transaction holds a row with an error, which may quote its message: to delete the
      -- message now would leave the error there for good.
      WHEN object_in_use THEN
        deleted := 0;
        more := true;
        RETURN;
    END;
  END IF;
  DELETE FROM messages AS m
  USING unnest(batch.positions) AS u (global_position)
  WHERE m.global_position = u.global_position;
  GET DIAGNOSTICS deleted = ROW_COUNT;

  UPDATE streams AS s
  SET floor = f.version
  FROM (
    SELECT u.stream_id, max(u.version) AS version
    FROM unnest(batch.stream_ids, batch.versions) AS u (stream_id, version)
    GROUP BY u.stream_id
  ) AS f
  WHERE s.stream_id = f.stream_id AND s.floor < f.version;
  DELETE FROM snapshots AS n  -- as in _cut_stream
  WHERE n.stream_id = ANY (batch.stream_ids)
    AND n.version < (SELECT s.floor FROM streams AS s WHERE s.stream_id = n.stream_id);

  UPDATE retention_policies AS p
  SET
    keep_after = policy.keep_after,
    reached_position = coalesce(batch.first_kept - 1, batch.last_position, p.reached_position)
  WHERE p.category = policy.category
    AND (p.keep_after, p.reached_position) IS DISTINCT FROM (
      policy.keep_after, coalesce(batch.first_kept - 1, batch.last_position, p.reached_position)
    );

  more := batch.busy IS NOT NULL OR coalesce(
    batch.seen = max_messages
      AND batch.positions IS NOT NULL
      AND batch.last_expired = batch.last_position,
    false
  );
  busy_stream := batch.busy;
END
$$;

COMMENT ON FUNCTION _cut_category(retention_policies, bigint, bigint) IS
$$Internal: delete what has expired among the oldest messages of a category, except in streams that
somebody writes to, the first of which is busy_stream. Deletes nothing while another transaction has
locked the error of one of these messages. The caller has locked the policy.$$;

-- functions/retention/_cut_stream.sql
CREATE OR REPLACE FUNCTION _cut_stream(
  stream_id bigint,
  category text,
  from_version bigint,
  to_version bigint
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  failed bigint[];
  deleted bigint;
BEGIN
  -- Before the rows of _forget_errors: an import that waits for these tables has others wait behind
  -- it, and may itself wait for a handler that waits for one of these rows.
  LOCK TABLE messages, streams IN ROW EXCLUSIVE MODE;
  -- LIMIT makes this one look-up for each error that is kept.
  SELECT array_agg(DISTINCT e.global_position) INTO failed
  FROM _kept_errors() AS e
  CROSS JOIN LATERAL (
    SELECT a.stream_id, a.version FROM messages AS a
    WHERE a.global_position = e.global_position
    LIMIT 1
  ) AS m
  WHERE m.stream_id = _cut_stream.stream_id AND m.version BETWEEN from_version AND to_version;
  PERFORM _forget_errors(failed);
  DELETE FROM messages AS m
  WHERE m.stream_id = _cut_stream.stream_id
    AND m.version >= from_version
    AND m.version <= to_version;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  UPDATE streams AS s
  SET floor = to_version
  WHERE s.stream_id = _cut_stream.stream_id AND s.floor < to_version;
  -- A state that lacks some of the deleted messages: no later state can be made of it any more.
  DELETE FROM snapshots AS n
  WHERE n.stream_id = _cut_stream.stream_id AND n.version < to_version;
  -- Fewer of the category are there than were counted.
  UPDATE retention_policies AS p
  SET keep_after = NULL
  WHERE p.category = _cut_stream.category AND p.keep_after IS NOT NULL;
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION _cut_stream(bigint, text, bigint, bigint) IS
$$Internal: delete these versions, the first ones of a stream, and the snapshots that lack some of
them; remember the last one. The caller holds the stream's lock. Raises 55006 if a handler is at
work on one that failed.$$;

-- functions/retention/_forget_errors.sql
CREATE OR REPLACE FUNCTION _forget_errors(
  positions bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The callers hold locks of streams. A handler that holds these rows may wait for such a lock, so
  -- to wait for the rows here would deadlock.
  WITH free AS MATERIALIZED (
    SELECT p.subscription_id, p.partition
    FROM subscription_partitions AS p
    WHERE p.failed_position = ANY (positions) AND p.error IS NOT NULL
    FOR UPDATE SKIP LOCKED
  )
  UPDATE subscription_partitions AS p
  SET error = NULL
  FROM free AS f
  WHERE p.subscription_id = f.subscription_id AND p.partition = f.partition;
  WITH free AS MATERIALIZED (
    SELECT k.subscription_id, k.global_position
    FROM parked_messages AS k
    WHERE k.global_position = ANY (positions) AND k.error IS NOT NULL
    FOR UPDATE SKIP LOCKED
  )
  UPDATE parked_messages AS k
  SET error = NULL
  FROM free AS f
  WHERE k.subscription_id = f.subscription_id AND k.global_position = f.global_position;
  IF EXISTS (SELECT FROM _kept_errors() AS e WHERE e.global_position = ANY (positions)) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_in_use',
      MESSAGE = 'a handler is at work on a message that failed',
      DETAIL = positions::text;
  END IF;
END
$$;

COMMENT ON FUNCTION _forget_errors(bigint[]) IS
$$Internal: forget what handlers said when they failed on these messages: it may quote them. Raises
55006 if other transactions have locked such a row, and waits for none of them. DETAIL is then the
argument of _wait_for_handlers: the caller undoes what it did, so that it holds no lock, and
waits.$$;

-- functions/retention/_handled_position.sql
CREATE OR REPLACE FUNCTION _handled_position(
  category text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT min(subscription_position(s.subscription))
    FROM subscriptions AS s
    WHERE s.categories IS NULL OR _handled_position.category = ANY (s.categories)
  );
END
$$;

COMMENT ON FUNCTION _handled_position(text) IS
$$Internal: the global position up to which all subscriptions to a category have handled
everything; NULL if there is none.$$;

-- functions/retention/_kept_errors.sql
CREATE OR REPLACE FUNCTION _kept_errors()
RETURNS TABLE (
  subscription_id bigint,
  partition bigint,
  global_position bigint
)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT p.subscription_id, p.partition, p.failed_position
  FROM subscription_partitions AS p
  WHERE p.error IS NOT NULL
  UNION ALL
  SELECT k.subscription_id, k.partition, k.global_position
  FROM parked_messages AS k
  WHERE k.error IS NOT NULL;
END;

COMMENT ON FUNCTION _kept_errors() IS
$$Internal: return the messages of which an error of a handler is kept, which may quote them.
Inlined into its callers, hence without a search_path of its own.$$;

-- functions/retention/_lock_stream.sql
CREATE OR REPLACE FUNCTION _lock_stream(
  stream text,
  OUT stream_id bigint,
  OUT version bigint,
  OUT floor bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_isolation();
  -- In the order of apply_retention: the policy, which _cut_stream changes, and then the stream.
  PERFORM FROM retention_policies AS p WHERE p.category = category(stream) FOR UPDATE;
  -- The lock of the stream's writers: none of them computes a version meanwhile.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C"));
  -- One statement, as in write_arrays.
  SELECT s.stream_id, s.floor, coalesce(l.version, s.floor)
  INTO _lock_stream.stream_id, _lock_stream.floor, _lock_stream.version
  FROM streams AS s
  LEFT JOIN LATERAL (
    SELECT m.version
    FROM messages AS m
    WHERE m.stream_id = s.stream_id
    ORDER BY m.version DESC
    LIMIT 1
  ) AS l ON true
  WHERE s.stream = _lock_stream.stream COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _refuse_value(
      'stream', 'must be the name of a stream that was written to', to_jsonb(stream)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _lock_stream(text) IS
$$Internal: lock a stream against writers until the transaction ends, and tell its version and
floor. Raises 22023 if there is no such stream, MS004 unless under READ COMMITTED.$$;

-- functions/retention/_record_audit.sql
CREATE OR REPLACE FUNCTION _record_audit(
  action text,
  subject text,
  reason text,
  detail jsonb
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  LOOP
    INSERT INTO audit (
      audit_id, done_at, session_role, acting_role, action, subject, reason, detail
    )
    VALUES (
      nextval('audit_id_seq'), clock_timestamp(), session_user, _acting_role(),
      _record_audit.action, _record_audit.subject, _record_audit.reason, _record_audit.detail
    )
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    PERFORM _refuse_sequences();  -- the number was in use
  END LOOP;
END
$$;

COMMENT ON FUNCTION _record_audit(text, text, text, jsonb) IS
$$Internal: write down the role, its action, the subject and the reason. Raises MS007 if the
sequence of the entries is behind.$$;

-- functions/retention/_wait_for_handlers.sql
CREATE OR REPLACE FUNCTION _wait_for_handlers(
  positions bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT DISTINCT e.subscription_id, e.partition, e.global_position
    FROM _kept_errors() AS e
    WHERE e.global_position = ANY (positions)
  LOOP
    -- An inner block that fails gives back the locks it has taken.
    BEGIN
      PERFORM FROM subscription_partitions AS p
      WHERE p.subscription_id = held.subscription_id AND p.partition = held.partition
      FOR UPDATE;
      PERFORM FROM parked_messages AS k
      WHERE k.subscription_id = held.subscription_id AND k.global_position = held.global_position
      FOR UPDATE;
      RAISE object_in_use;
    EXCEPTION
      WHEN object_in_use THEN
        NULL;
    END;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _wait_for_handlers(bigint[]) IS
$$Internal: wait until no other transaction has locked the rows with errors on these messages. Holds
none of them afterwards.$$;

-- functions/retention/apply_retention.sql
CREATE OR REPLACE FUNCTION apply_retention(
  max_messages bigint DEFAULT 1000,
  OUT deleted bigint,
  OUT more boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET lock_timeout = '500ms'
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  name text;
  locked record;
  cut record;
  busy_policy record;
  busy text;
BEGIN
  PERFORM _refuse_stranger('apply_retention');
  IF (max_messages BETWEEN 1 AND 10000) IS NOT TRUE THEN
    PERFORM _refuse_value('max_messages', 'must be between 1 and 10000', to_jsonb(max_messages));
  END IF;
  PERFORM _refuse_isolation();
  safe := safe_position();
  deleted := 0;
  more := false;

  -- In any order, so that no category is always the last.
  FOR name IN SELECT p.category FROM retention_policies AS p ORDER BY random() LOOP
    IF deleted >= max_messages THEN
      more := true;
      EXIT;
    END IF;
    -- One works on a category at a time; the others take other categories.
    SELECT p AS policy INTO locked
    FROM retention_policies AS p
    WHERE p.category = name
    FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    cut := _apply_policy(locked.policy, safe, max_messages - deleted);
    deleted := deleted + cut.deleted;
    more := more OR cut.more;
    IF cut.busy_stream IS NOT NULL THEN
      busy := cut.busy_stream;
      busy_policy := locked;
    END IF;
  END LOOP;
  IF deleted > 0 OR busy IS NULL THEN
    RETURN;
  END IF;

  -- Nothing but streams that somebody writes to all the time: stand in one's row, once. No stream
  -- was locked for deletion, and the wait is shorter than it takes the server to look for
  -- deadlocks.
  BEGIN
    PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(busy COLLATE "C"));
    cut := _apply_policy(busy_policy.policy, safe, max_messages);
    deleted := cut.deleted;
  EXCEPTION WHEN lock_not_available THEN
    more := true;
  END;
END
$$;

COMMENT ON FUNCTION apply_retention(bigint) IS
$$Delete messages by the policies of set_retention, the oldest first, at most max_messages (up to
10,000), in one short transaction. Return how many were deleted, and whether there are more. Call it
in a transaction of its own, again while there are more, with a pause in between; if none was
deleted though there are more, their streams are in use. It deletes only the first messages of a
stream, none after the safe position, and none that a subscription still has to handle unless the
policy says so. Snapshots that have all deleted messages of a stream stay, and the others are
dropped; if none is left, load_stream raises MS008 for the stream from then on. Each deletion is
written to the audit. Several may run at once: they take different categories. Raises 22023 for a
bad argument, MS004 and MS005 as read_all.$$;

-- functions/retention/delete_stream.sql
CREATE OR REPLACE FUNCTION delete_stream(
  stream text,
  expected_version bigint DEFAULT NULL,
  reason text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  target record;
  deleted bigint;
  failed text;
BEGIN
  PERFORM _refuse_stranger('delete_stream');
  LOOP
    BEGIN
      target := _lock_stream(stream);
      IF expected_version <> target.version THEN
        RAISE EXCEPTION USING
          ERRCODE = 'MS001',
          MESSAGE = format(
            'stream %s is at version %s, expected version %s',
            stream, target.version, expected_version
          ),
          DETAIL = json_build_object(
            'stream', stream, 'expected_version', expected_version,
            'actual_version', target.version
          )::text,
          HINT = 'Look at the messages that were added, and decide again whether to delete the '
            'stream at the version it has now. Nothing was deleted.';
      END IF;
      deleted := _cut_stream(target.stream_id, category(stream), target.floor + 1, target.version);
      PERFORM _drop_states(target.stream_id, 1);
      PERFORM _forget_scheduled(stream);
      EXIT;
    EXCEPTION
      -- A handler holds a row with an error, and may write to this stream before it commits: the
      -- stream's lock was given back with this block.
      WHEN object_in_use THEN
        GET STACKED DIAGNOSTICS failed = PG_EXCEPTION_DETAIL;
    END;
    PERFORM _wait_for_handlers(failed::bigint[]);
  END LOOP;
  PERFORM _record_audit(
    'delete_stream', stream, reason,
    jsonb_build_object('version', target.version, 'deleted', deleted)
  );
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION delete_stream(text, bigint, text) IS
$$Delete all messages and snapshots of a stream, if it is at expected_version (NULL: in any case);
answers how many messages. Its scheduled messages are forgotten, except those that another
transaction cancels at this moment. Its name and version stay: a message written to it later gets
the next version, expected_version 0 is refused, and load_stream raises MS008. Locks the stream
against writers until the transaction ends. Written to the audit. Raises 22023 if there is no such
stream; MS001 if it is at another version; MS004 unless under READ COMMITTED.$$;

-- functions/retention/drop_retention.sql
CREATE OR REPLACE FUNCTION drop_retention(
  category text,
  reason text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('drop_retention');
  DELETE FROM retention_policies AS p WHERE p.category = drop_retention.category;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM _record_audit('drop_retention', category, reason, '{}');
  RETURN true;
END
$$;

COMMENT ON FUNCTION drop_retention(text, text) IS
$$Keep the messages of a category for ever again; false if it has no policy. Written to the
audit.$$;

-- functions/retention/empty_store.sql
CREATE OR REPLACE FUNCTION empty_store(
  store text,
  reason text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
-- While this waits for its lock, all later transactions wait behind it: rather give up soon.
SET lock_timeout = '3s'
AS $$
#variable_conflict use_column
DECLARE
  failed bigint[];
  deleted bigint;
  parked bigint;
BEGIN
  PERFORM _refuse_stranger('empty_store');
  IF (store = current_schema() COLLATE "C") IS NOT TRUE THEN
    PERFORM _refuse_value('store', 'must be the name of the store, to confirm', to_jsonb(store));
  END IF;
  PERFORM _refuse_isolation();
  LOOP
    BEGIN
      -- Instead of the locks of all streams: no writer computes a version meanwhile.
      LOCK TABLE messages IN ACCESS EXCLUSIVE MODE;
      LOCK TABLE streams IN ROW EXCLUSIVE MODE;  -- as in _cut_stream
      SELECT array_agg(DISTINCT e.global_position) INTO failed FROM _kept_errors() AS e;
      PERFORM _forget_errors(failed);
      EXIT;
    EXCEPTION
      WHEN object_in_use THEN
        NULL;  -- as in delete_stream
    END;
    PERFORM _wait_for_handlers(failed);
  END LOOP;

  WITH ends AS MATERIALIZED (
    SELECT s.stream_id, s.floor, l.version
    FROM streams AS s
    CROSS JOIN LATERAL (
      SELECT m.version
      FROM messages AS m
      WHERE m.stream_id = s.stream_id
      ORDER BY m.version DESC
      LIMIT 1
    ) AS l
  ),
  raised AS (
    UPDATE streams AS s
    SET floor = e.version
    FROM ends AS e
    WHERE s.stream_id = e.stream_id
  )
  SELECT coalesce(sum(e.version - e.floor), 0)::bigint INTO deleted FROM ends AS e;
  TRUNCATE messages;
  DELETE FROM snapshots;
  INSERT INTO stream_changes AS c (stream_id, changes)
  SELECT s.stream_id, 1 FROM streams AS s
  ON CONFLICT (stream_id) DO UPDATE SET changes = c.changes + 1;
  PERFORM _forget_scheduled(NULL);

  -- As _forget_errors, these leave out what a handler has locked.
  WITH free AS MATERIALIZED (
    SELECT k.subscription_id, k.global_position
    FROM parked_messages AS k
    FOR UPDATE SKIP LOCKED
  )
  DELETE FROM parked_messages AS k
  USING free AS f
  WHERE k.subscription_id = f.subscription_id AND k.global_position = f.global_position;
  GET DIAGNOSTICS parked = ROW_COUNT;
  WITH free AS MATERIALIZED (
    SELECT p.subscription_id, p.partition
    FROM subscription_partitions AS p
    WHERE p.failed_position IS NOT NULL
    FOR UPDATE SKIP LOCKED
  )
  UPDATE subscription_partitions AS p
  SET attempts = 0, failed_position = NULL, retry_at = NULL, stopped = false, alone = 0
  FROM free AS f
  WHERE p.subscription_id = f.subscription_id AND p.partition = f.partition;

  PERFORM _record_audit(
    'empty_store', store, reason, jsonb_build_object('deleted', deleted, 'parked', parked)
  );
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION empty_store(text, text) IS
$$Delete all messages and snapshots of the store; return how many messages. store is its name, to
confirm. Later writes continue where the store was: positions rise, streams keep their names and
versions, subscriptions their checkpoints, categories their policies of retention. load_stream
raises MS008 for each stream that had messages. Parked and scheduled messages are forgotten, and
partitions that a failed message had stopped continue. Waits for open transactions that read or
write messages; all other readers and writers wait for it until the transaction ends. Raises 55P03
if it cannot have its lock within 3 seconds. A transaction that began before, under REPEATABLE READ
or SERIALIZABLE, can find no messages either. Written to the audit. Raises 22023 if store is another
name; MS004 unless under READ COMMITTED.$$;

-- functions/retention/list_audit.sql
CREATE OR REPLACE FUNCTION list_audit(
  max_count bigint DEFAULT 100,
  before_id bigint DEFAULT NULL
)
RETURNS SETOF audit
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('list_audit');
  IF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  END IF;
  RETURN QUERY
  SELECT
    a.audit_id, a.done_at, a.session_role, a.acting_role, a.action, a.subject, a.reason, a.detail
  FROM audit AS a
  WHERE a.audit_id < coalesce(before_id, 9223372036854775807)
  ORDER BY a.audit_id DESC
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION list_audit(bigint, bigint) IS
$$Return the audit, a list of changes to stored messages and to rights: the latest first, at
most max_count, before entry before_id if that is given. Raises 22023 for a bad argument.$$;

-- functions/retention/list_retention.sql
CREATE OR REPLACE FUNCTION list_retention()
RETURNS TABLE (
  category text,
  max_age interval,
  max_count bigint,
  keep_unhandled boolean,
  reached_position bigint,
  handled_position bigint,
  waits boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    p.category, p.max_age, p.max_count, p.keep_unhandled, p.reached_position, h.position,
    -- Whether the first message that is left would have gone, were it not for a subscription.
    p.keep_unhandled AND EXISTS (
      SELECT
      FROM (
        SELECT m.global_position, m.added_at
        FROM messages AS m
        WHERE (m.category_key, m.global_position)
          > (_category_key(p.category), p.reached_position)
        ORDER BY m.category_key, m.global_position
        LIMIT 1
      ) AS f
      WHERE f.global_position > h.position
        AND (f.added_at < clock_timestamp() - p.max_age OR f.global_position <= p.keep_after)
    )
  FROM retention_policies AS p
  CROSS JOIN LATERAL (SELECT _handled_position(p.category) AS position) AS h
  ORDER BY p.category;
END
$$;

COMMENT ON FUNCTION list_retention() IS
$$Return the policies of retention. Up to reached_position every message of the category is deleted.
Up to handled_position every subscription to it has handled them (NULL if there is none); if
keep_unhandled is true, nothing after it is deleted. waits is true if messages stay only because of
that.$$;

-- functions/retention/redact_message.sql
CREATE OR REPLACE FUNCTION redact_message(
  message_id uuid,
  data jsonb,
  reason text,
  metadata jsonb DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  target record;
BEGIN
  PERFORM _refuse_stranger('redact_message');
  IF data IS NULL THEN
    PERFORM _refuse_argument('data', 'must be a JSON value, not NULL');
  ELSIF coalesce(_payload_problem(data), _payload_problem(metadata)) IS NOT NULL THEN
    PERFORM _refuse_argument(
      CASE WHEN _payload_problem(data) IS NOT NULL THEN 'data' ELSE 'metadata' END,
      coalesce(_payload_problem(data), _payload_problem(metadata))
    );
  ELSIF (reason ~ '[^[:space:]]') IS NOT TRUE THEN
    PERFORM _refuse_argument('reason', 'must say why');
  ELSIF jsonb_typeof(metadata) <> 'object' THEN
    PERFORM _refuse_argument('metadata', 'must be a JSON object, or NULL to keep it');
  END IF;
  SELECT m.stream, m.version, m.global_position INTO target FROM get_message(message_id) AS m;
  IF target.stream IS NULL THEN
    PERFORM _refuse_value('message_id', 'must be the id of a stored message', to_jsonb(message_id));
  END IF;

  LOOP
    BEGIN
      -- Before the row's own lock, as the functions that delete messages.
      PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(target.stream COLLATE "C"));
      LOCK TABLE messages IN ROW EXCLUSIVE MODE;  -- as in _cut_stream
      -- Under the lock: while this call waited for it, another redaction may have changed the
      -- metadata, and refilter_subscription the filters.
      PERFORM _refuse_redaction(m.metadata, redact_message.metadata)
      FROM messages AS m
      WHERE m.message_id = redact_message.message_id AND redact_message.metadata IS NOT NULL;
      PERFORM _forget_errors(ARRAY[target.global_position]);
      UPDATE messages AS m
      SET data = redact_message.data, metadata = coalesce(redact_message.metadata, m.metadata)
      WHERE m.message_id = redact_message.message_id;
      IF NOT FOUND THEN
        PERFORM _refuse_value(
          'message_id', 'must be the id of a stored message', to_jsonb(message_id)
        );
      END IF;
      PERFORM _drop_states(
        (SELECT s.stream_id FROM streams AS s WHERE s.stream = target.stream COLLATE "C"),
        target.version
      );
      EXIT;
    EXCEPTION
      WHEN object_in_use THEN
        NULL;  -- as in delete_stream
    END;
    PERFORM _wait_for_handlers(ARRAY[target.global_position]);
  END LOOP;
  PERFORM _record_audit(
    'redact_message', message_id::text, reason,
    jsonb_build_object(
      'stream', target.stream, 'version', target.version,
      'global_position', target.global_position, 'metadata', metadata IS NOT NULL
    )
  );
END
$$;

COMMENT ON FUNCTION redact_message(uuid, jsonb, text, jsonb) IS
$$Replace the payload of a stored message, and its metadata if that is given; its id, place, type
and time stay. Snapshots of its stream that have it are dropped; if the beginning of the stream was
deleted, load_stream raises MS008 for it from then on. Errors that subscriptions have kept with the
message are forgotten. The reason is written to the audit, the old content is not. A repetition of
the write that stored it is refused from then on (MS002). A subscription whose filter the new
metadata no longer matches does not hand the message out any more. Locks the stream against writers
until the transaction ends. Raises 22023 for a bad argument, for an id that no message has, and for
metadata that would move the message to another partition of a subscription, or have a subscription
choose it.$$;

-- functions/retention/set_retention.sql
CREATE OR REPLACE FUNCTION set_retention(
  category text,
  max_age interval DEFAULT NULL,
  max_count bigint DEFAULT NULL,
  keep_unhandled boolean DEFAULT true,
  reason text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('set_retention');
  IF category IS NULL OR category(category) <> category COLLATE "C" THEN
    PERFORM _refuse_value('category', 'must be the name of a category', to_jsonb(category));
  ELSIF max_age IS NULL AND max_count IS NULL THEN
    PERFORM _refuse_argument('max_age', 'or max_count must be given; drop_retention ends a policy');
  ELSIF max_age NOT BETWEEN '0' AND '1000 years' THEN
    PERFORM _refuse_value('max_age', 'must be between 0 and 1000 years', to_jsonb(max_age));
  ELSIF max_count < 0 THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  ELSIF keep_unhandled IS NULL THEN
    PERFORM _refuse_value('keep_unhandled', 'must be true or false', to_jsonb(keep_unhandled));
  END IF;

  INSERT INTO retention_policies AS p (
    reached_position, max_count, max_age, keep_unhandled, category
  )
  VALUES (
    0, set_retention.max_count, set_retention.max_age, set_retention.keep_unhandled,
    set_retention.category
  )
  ON CONFLICT ON CONSTRAINT retention_policies_category_pkey DO UPDATE
  SET
    reached_position = 0,
    keep_after = NULL,
    max_count = excluded.max_count,
    max_age = excluded.max_age,
    keep_unhandled = excluded.keep_unhandled;
  PERFORM _record_audit(
    'set_retention', category, reason,
    jsonb_build_object(
      'max_age', max_age::text, 'max_count', max_count, 'keep_unhandled', keep_unhandled
    )
  );
END
$$;

COMMENT ON FUNCTION set_retention(text, interval, bigint, boolean, text) IS
$$Say how long messages of a category are kept: those older than max_age, and those beyond the
newest max_count, are deleted by apply_retention, which something has to call. Messages that a
subscription to the category has not handled yet are kept, unless keep_unhandled is false. Replaces
the policy that the category has. Written to the audit. Raises 22023 for a bad argument.$$;

-- functions/retention/truncate_stream.sql
CREATE OR REPLACE FUNCTION truncate_stream(
  stream text,
  before_version bigint,
  reason text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  target record;
  deleted bigint;
  had_snapshots boolean;
  snapshots_left bigint;
  failed text;
BEGIN
  PERFORM _refuse_stranger('truncate_stream');
  LOOP
    BEGIN
      target := _lock_stream(stream);
      IF (before_version BETWEEN 1 AND target.version + 1) IS NOT TRUE THEN
        PERFORM _refuse_argument(
          'before_version', 'must be between 1 and the version after the stream''s last one',
          jsonb_build_object('before_version', before_version, 'version', target.version)
        );
      END IF;
      had_snapshots := EXISTS (
        SELECT FROM snapshots AS n WHERE n.stream_id = target.stream_id
      );
      deleted := _cut_stream(
        target.stream_id, category(stream), target.floor + 1, before_version - 1
      );
      EXIT;
    EXCEPTION
      -- As in delete_stream.
      WHEN object_in_use THEN
        GET STACKED DIAGNOSTICS failed = PG_EXCEPTION_DETAIL;
    END;
    PERFORM _wait_for_handlers(failed::bigint[]);
  END LOOP;
  snapshots_left := (
    SELECT count(*) FROM snapshots AS n WHERE n.stream_id = target.stream_id
  );
  IF had_snapshots AND snapshots_left = 0 THEN
    RAISE WARNING USING
      MESSAGE = format('no snapshot of stream %s has the messages that were deleted', stream),
      HINT = 'load_stream raises MS008 for it now. Roll back, and save a snapshot first.';
  END IF;
  PERFORM _record_audit(
    'truncate_stream', stream, reason,
    jsonb_build_object(
      'before_version', before_version, 'version', target.version, 'deleted', deleted,
      'snapshots', snapshots_left
    )
  );
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION truncate_stream(text, bigint, text) IS
$$Delete the messages of a stream before a version; answers how many. The stream keeps its version:
the next message gets the next one, also when all are gone. Snapshots that have all deleted messages
stay, and the others are dropped; if none is left, load_stream raises MS008 for the stream from then
on, and the call warns. Locks the stream against writers until the transaction ends. Written to the
audit, with the number of snapshots that are left. Raises 22023 if there is no such stream or the
version is beyond its end; MS004 unless under READ COMMITTED.$$;

-- functions/rights/_acting_role.sql
CREATE OR REPLACE FUNCTION _acting_role()
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN CASE current_setting('role')
  WHEN 'none' THEN session_user::text
  ELSE current_setting('role')
END;

COMMENT ON FUNCTION _acting_role() IS
$$Internal: the role that calls: the one set with SET ROLE, otherwise the session's. Inside a
function of the store, current_user is the store's owner. Nobody can set a role that he is not a
member of.$$;

-- functions/rights/_alter_rights.sql
CREATE OR REPLACE FUNCTION _alter_rights(
  role text,
  names text[],
  granted boolean
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  object record;
BEGIN
  FOR object IN
    SELECT p.proname AS name, false AS is_view
    FROM pg_proc AS p
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.proname = ANY (names)
    UNION ALL
    SELECT c.relname, true
    FROM pg_class AS c
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
      AND c.relkind = 'v'
      AND c.relname = ANY (names)
  LOOP
    -- Dynamic, because GRANT takes no parameters. A name tells a function: none is overloaded.
    IF object.is_view AND granted THEN
      EXECUTE format('GRANT SELECT ON %I TO %I', object.name, role);
    ELSIF object.is_view THEN
      EXECUTE format('REVOKE SELECT ON %I FROM %I', object.name, role);
    ELSIF granted THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO %I', object.name, role);
    ELSE
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %I FROM %I', object.name, role);
    END IF;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _alter_rights(text, text[], boolean) IS
$$Internal: grant a role the functions and views of these names, or revoke them.$$;

-- functions/rights/_close_to_public.sql
CREATE OR REPLACE FUNCTION _close_to_public()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  kinds text[] := ARRAY[
    'SCHEMA', 'ALL TABLES IN SCHEMA', 'ALL SEQUENCES IN SCHEMA', 'ALL ROUTINES IN SCHEMA'
  ];
  objects text;
  given record;
BEGIN
  -- Only if something is open: a REVOKE has all sessions plan their statements anew.
  IF NOT EXISTS (
    SELECT FROM _list_rights() AS o CROSS JOIN aclexplode(o.rights) AS a
    WHERE a.grantee = 0
  ) THEN
    RETURN;
  END IF;
  -- Dynamic, because these commands name the schema.
  FOREACH objects IN ARRAY kinds LOOP
    EXECUTE format('REVOKE ALL ON %s %I FROM PUBLIC', objects, current_schema());
  END LOOP;

  -- The owner can take rights that a role gave to PUBLIC only together with that role's grant
  -- option.
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role
    FROM _list_rights() AS o
    CROSS JOIN aclexplode(o.rights) AS a
    WHERE a.is_grantable
      AND a.grantor <> a.grantee
      AND a.grantor = (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = current_schema())
      AND EXISTS (SELECT FROM aclexplode(o.rights) AS w WHERE w.grantee = 0)
  LOOP
    FOREACH objects IN ARRAY kinds LOOP
      EXECUTE format(
        'REVOKE GRANT OPTION FOR ALL ON %s %I FROM %I CASCADE', objects, current_schema(),
        given.role
      );
    END LOOP;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _close_to_public() IS
$$Internal: take every right on the store from PUBLIC, and the option to grant from a role that gave
PUBLIC one: before rights are granted to a role or taken from it, and at the end of an installation.
A store that was restored without its rights is open to each role that may use the schema.$$;

-- functions/rights/_granted_names.sql
CREATE OR REPLACE FUNCTION _granted_names(
  kind text
)
RETURNS text[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Not IMMUTABLE: the planner would call it, for a constant, from within itself for ever.
  RETURN CASE kind
    WHEN 'read' THEN ARRAY[
      'read_stream', 'load_stream', 'last_message', 'get_message', 'get_messages', 'stream_version',
      'list_scheduled',
      'read_all', 'read_category', 'read_page', 'read_matching', 'read_correlated', 'safe_position',
      'horizon', 'last_position', 'wake_channel', 'fall_asleep', 'wake_up', 'category',
      'applied_migrations', 'schema_version', 'needed_version',
      'all_messages', 'stream_statistics', 'category_statistics', 'type_statistics'
    ]
    WHEN 'write' THEN ARRAY[
      'write_message', 'write_messages', 'write_arrays', 'write_group', 'synchronize_stream',
      'schedule_message', 'cancel_message', 'deliver_scheduled',
      'save_snapshot', 'new_message_id', 'category', 'applied_migrations', 'schema_version',
      'needed_version'
    ]
    WHEN 'consume' THEN ARRAY[
      'create_subscription', 'drop_subscription', 'pause_subscription', 'resume_subscription',
      'rewind_subscription', 'repartition_subscription', 'refilter_subscription',
      'hold_subscription', 'claim_partition', 'claim_batch', 'next_claim', 'fetch_batch',
      'extend_lease', 'acknowledge', 'fail_message', 'begin_handling', 'check_handling',
      'abandon_partition', 'release_partition', 'settle_parked', 'replay_parked', 'drop_parked',
      'subscription_position', 'position_before', 'list_subscriptions', 'list_partitions',
      'list_parked', 'safe_position', 'horizon', 'last_position', 'wake_channel', 'fall_asleep',
      'wake_up', 'applied_migrations', 'schema_version', 'needed_version'
    ]
    WHEN 'monitor' THEN ARRAY[
      'safe_position', 'horizon', 'last_position', 'schema_version', 'applied_migrations',
      'needed_version',
      'subscription_position', 'list_subscriptions', 'list_partitions', 'list_parked',
      'list_retention', 'store_statistics', 'health', 'count_parked', 'list_stuck',
      'count_scheduled',
      '_subscription_health', '_server_health', 'stream_statistics', 'category_statistics',
      'type_statistics', 'writers_in_flight', '_stream_lock_class', '_mark_lock_class',
      '_bell_lock_class', '_gate_lock_class', '_open_marks', '_foreign_locks', '_may_lock',
      'list_sequences'
    ]
    WHEN 'admin' THEN _granted_names('read') || _granted_names('write') || _granted_names('consume')
      || _granted_names('monitor')
      || ARRAY[
        'truncate_stream', 'delete_stream', 'redact_message', 'set_retention', 'drop_retention',
        'apply_retention', 'list_audit', 'list_grants', 'export_messages', 'export_floors',
        'import_messages', 'import_floors', 'import_times', 'check_messages', 'check_floors',
        'verify_store', 'skip_positions', 'empty_store', 'drop_snapshots'
      ]
  END;
END
$$;

COMMENT ON FUNCTION _granted_names(text) IS
$$Internal: return the functions and views that a role may use whom grant_access gave this kind of
rights, NULL for no kind: the only place that says so. A function that is new belongs here, or is
for the owner alone.$$;

-- functions/rights/_holds_kind.sql
CREATE OR REPLACE FUNCTION _holds_kind(
  role_id oid,
  kind text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- By rights, not by its name in grants: DROP ROLE is refused as long as a role has rights. Any of
  -- those that no other kind gives will do: an upgrade may have made some functions anew.
  RETURN EXISTS (
    SELECT
    FROM pg_proc AS p
    CROSS JOIN aclexplode(p.proacl) AS a
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname = ANY (_granted_names(_holds_kind.kind))
      AND NOT EXISTS (
        SELECT
        FROM unnest(ARRAY['read', 'write', 'consume', 'monitor']) AS k (kind)
        WHERE k.kind <> _holds_kind.kind AND p.proname = ANY (_granted_names(k.kind))
      )
      AND a.grantee = role_id
  );
END
$$;

COMMENT ON FUNCTION _holds_kind(oid, text) IS
$$Internal: whether a role has rights that only a kind of rights gives. One that was made anew under
the name of a role that was dropped has none.$$;

-- functions/rights/_list_rights.sql
CREATE OR REPLACE FUNCTION _list_rights()
RETURNS TABLE (
  kind text,
  name text,
  owner oid,
  rights aclitem[]
)
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
BEGIN ATOMIC
  SELECT o.kind, o.name, o.owner, o.rights
  FROM pg_namespace AS n
  CROSS JOIN LATERAL (
    -- Each type is written out, so that a dump writes the function as it is here.
    SELECT text 'schema' AS kind, n.nspname::text AS name, n.nspowner AS owner, n.nspacl AS rights
    UNION ALL
    SELECT text 'relation', c.relname::text, c.relowner, c.relacl
    FROM pg_class AS c
    WHERE c.relnamespace = n.oid
    UNION ALL
    SELECT text 'column', c.relname::text, c.relowner, t.attacl
    FROM pg_class AS c
    JOIN pg_attribute AS t ON t.attrelid = c.oid
    WHERE c.relnamespace = n.oid
    UNION ALL
    -- A function is open until that is revoked: without rights of its own it is, too.
    SELECT
      text 'function', p.proname::text, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p
    WHERE p.pronamespace = n.oid
  ) AS o
  WHERE n.nspname = current_schema();
END;

COMMENT ON FUNCTION _list_rights() IS
$$Internal: return the access rights of the schema and of each table, view, sequence, column and
function of the store, as PostgreSQL keeps them: an array an object. A column has the name of its
table.$$;

-- functions/rights/_lock_rights.sql
CREATE OR REPLACE FUNCTION _lock_rights()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
-- As an installer waits. Each role that may connect can take this key.
SET lock_timeout = '60s'
AS $$
#variable_conflict use_column
BEGIN
  -- The installer's lock: two that change the rights on one function fail, whatever they change.
  PERFORM pg_advisory_xact_lock(
    hashtextextended('pgstore:install:' || current_schema() COLLATE "C", 0)
  );
END
$$;

COMMENT ON FUNCTION _lock_rights() IS
$$Internal: let one session at a time change the rights on the store, or skip positions, and none
during an upgrade. Raises 55P03 if another session holds the key for a minute.$$;

-- functions/rights/_may_lock.sql
CREATE OR REPLACE FUNCTION _may_lock(
  role text,
  key text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  others text[] := _granted_names('read') || _granted_names('consume') || _granted_names('monitor');
  names name[] := CASE key WHEN 'installer' THEN ARRAY[name 'skip_positions'] ELSE ARRAY(
    SELECT n.name::name
    FROM unnest(_granted_names('admin')) AS n (name)
    WHERE n.name <> ALL (others)
  ) END;
BEGIN
  IF key = 'bell' THEN
    names := names || name 'fall_asleep';
  ELSIF key = 'gate' THEN
    names := names || name 'horizon';
  END IF;
  -- MEMBER, not USAGE: a session may have set a role that its own does not inherit from. Functions
  -- that PUBLIC may execute do not count.
  RETURN pg_has_role(role, current_user, 'MEMBER') OR EXISTS (
    SELECT
    FROM pg_proc AS p
    CROSS JOIN aclexplode(p.proacl) AS a
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname = ANY (names)
      AND CASE WHEN a.grantee <> 0 THEN pg_has_role(role, a.grantee, 'MEMBER') END
  );
END
$$;

COMMENT ON FUNCTION _may_lock(text, text) IS
$$Internal: whether a role has a right to a function that takes a key of this kind: installer,
stream, mark, bell or gate.$$;

-- functions/rights/_may_write.sql
CREATE OR REPLACE FUNCTION _may_write(
  caller text,
  category text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The owner, who owns the functions that this is called from, and superusers.
  RETURN pg_has_role(caller, current_user, 'USAGE') OR EXISTS (
    SELECT
    FROM grants AS g
    JOIN pg_roles AS r ON r.rolname = g.role
    WHERE g.kind IN ('write', 'admin')
      AND (g.categories IS NULL OR _may_write.category = ANY (g.categories))
      AND pg_has_role(caller, r.oid, 'USAGE')
      -- Not a role that was made anew under the name of one that was dropped.
      AND EXISTS (
        SELECT
        FROM pg_proc AS p
        CROSS JOIN aclexplode(p.proacl) AS a
        WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
          AND p.proname = CASE g.kind WHEN 'write' THEN 'write_arrays' ELSE 'redact_message' END
          AND a.grantee = r.oid
      )
  );
END
$$;

COMMENT ON FUNCTION _may_write(text, text) IS
$$Internal: whether a role may write to a category in a store in which any role may write to some
categories only. Then each role but the owner needs a grant of write or admin; of those that a role
inherits, the widest counts.$$;

-- functions/rights/_note_restrictions.sql
CREATE OR REPLACE FUNCTION _note_restrictions()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  restricted boolean := EXISTS (
    SELECT FROM grants AS g WHERE g.kind = 'write' AND g.categories IS NOT NULL
  );
BEGIN
  IF restricted <> _writers_restricted() THEN
    -- Dynamic, because its body is a constant.
    EXECUTE format(
      'CREATE OR REPLACE '
      'FUNCTION _writers_restricted() RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE '
      'RETURN boolean %L',
      restricted
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _note_restrictions() IS
$$Internal: have _writers_restricted() say what grants says. The caller holds _lock_rights().$$;

-- functions/rights/_restore_grants.sql
CREATE OR REPLACE FUNCTION _restore_grants()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Only who still has them: a role that was dropped is not there, and one that was made anew under
  -- its name is another one.
  PERFORM _alter_rights(g.role, _granted_names(g.kind), true)
  FROM grants AS g
  JOIN pg_roles AS r ON r.rolname = g.role
  WHERE _holds_kind(r.oid, g.kind);
END
$$;

COMMENT ON FUNCTION _restore_grants() IS
$$Internal: grant the roles that were granted rights what has come to belong to them; for the end of
an upgrade.$$;

-- functions/rights/grant_access.sql
CREATE OR REPLACE FUNCTION grant_access(
  role text,
  kind text,
  categories text[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  role_id oid;
BEGIN
  PERFORM _refuse_stranger('grant_access');
  PERFORM _refuse_kind(kind, categories);
  PERFORM _lock_rights();
  IF categories IS NOT NULL THEN
    PERFORM _refuse_restriction(role);
  END IF;
  PERFORM _close_to_public();
  SELECT r.oid INTO role_id FROM pg_roles AS r WHERE r.rolname = role COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _refuse_value('role', 'must be the name of a role', to_jsonb(role));
  ELSIF role = current_user THEN
    -- To revoke it would take from the functions, which run as the owner, what they call.
    PERFORM _refuse_value(
      'role', 'must not be the owner of the store, who has every right', to_jsonb(role)
    );
  END IF;
  -- Forget the grants of a dropped role: a new role of that name starts with nothing.
  DELETE FROM grants AS g WHERE g.role = grant_access.role AND NOT _holds_kind(role_id, g.kind);
  INSERT INTO grants AS g (role, kind, categories)
  VALUES (grant_access.role, grant_access.kind, grant_access.categories)
  ON CONFLICT ON CONSTRAINT grants_role_kind_pkey DO UPDATE SET categories = excluded.categories;
  PERFORM _note_restrictions();
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
  PERFORM _alter_rights(role, _granted_names(kind), true);
  PERFORM _record_audit(
    'grant_access', role, NULL,
    jsonb_strip_nulls(jsonb_build_object('kind', kind, 'categories', categories))
  );
END
$$;

COMMENT ON FUNCTION grant_access(text, text, text[]) IS
$$Grant a role a kind of rights. read: read streams, categories and everything, and wait for new
messages. write: append to all streams, or only to those of some categories. consume: create and
steer subscriptions, claim their partitions and read what they hand out; a handler that writes needs
write too. monitor: see statistics, health, subscriptions and writers in flight, but no message; to
see what other roles' sessions do it needs pg_read_all_stats too. admin: all of these, delete and
redact messages, empty the store, export, import and verify; not grant rights, nor upgrade. A role
that inherits several rights to write has the widest. From the first role on that may write to some
categories only, each role but the owner needs write or admin to write. Upgrades grant the role what
they add to its kinds. Takes all rights on the store from PUBLIC first. For the store's owner only.
Written to the audit. Raises 22023 if there is no such role, kind or category, and for the owner;
55000 if the first restriction would lock out roles whose rights are of another origin.$$;

-- functions/rights/list_grants.sql
CREATE OR REPLACE FUNCTION list_grants()
RETURNS TABLE (
  role text,
  kind text,
  categories text[],
  role_exists boolean
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('list_grants');
  RETURN QUERY
  SELECT
    g.role, g.kind, g.categories,
    EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = g.role AND _holds_kind(r.oid, g.kind))
  FROM grants AS g
  ORDER BY g.role, g.kind;
END
$$;

COMMENT ON FUNCTION list_grants() IS
$$Which roles were granted which rights: read, write (with its categories, NULL for all), consume,
monitor or admin. role_exists is false if the role is gone, or a new one has its name.$$;

-- functions/rights/revoke_access.sql
CREATE OR REPLACE FUNCTION revoke_access(
  role text,
  kind text
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('revoke_access');
  PERFORM _refuse_kind(kind, NULL);
  PERFORM _lock_rights();
  PERFORM _close_to_public();
  DELETE FROM grants AS g WHERE g.role = revoke_access.role AND g.kind = revoke_access.kind;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM _note_restrictions();

  -- The role may have become the owner since, who keeps what the functions call as the owner.
  IF role <> current_user
    AND EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role COLLATE "C")
  THEN
    -- Functions that another kind of the role's rights gives stay.
    PERFORM _alter_rights(
      role,
      ARRAY(
        SELECT n.name
        FROM unnest(_granted_names(revoke_access.kind)) AS n (name)
        WHERE NOT EXISTS (
          SELECT
          FROM grants AS g
          WHERE g.role = revoke_access.role AND n.name = ANY (_granted_names(g.kind))
        )
      ),
      false
    );
    IF NOT EXISTS (SELECT FROM grants AS g WHERE g.role = revoke_access.role) THEN
      EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %I', current_schema(), role);
    END IF;
  END IF;
  PERFORM _record_audit('revoke_access', role, NULL, jsonb_build_object('kind', kind));
  RETURN true;
END
$$;

COMMENT ON FUNCTION revoke_access(text, text) IS
$$Take a kind of rights from a role, except functions that its other kinds give; return false if it
was not granted. Takes all rights on the store from PUBLIC first. For the store's owner only.
Written to the audit. Raises 22023 for another kind than those of grant_access.$$;

-- functions/schedule/_forget_scheduled.sql
CREATE OR REPLACE FUNCTION _forget_scheduled(
  of_stream text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
-- As list_scheduled.
SET plan_cache_mode = force_custom_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- The callers keep writers off. A handler that has cancelled a message may wait for them before
  -- it writes, so to wait for its row here would deadlock.
  WITH free AS MATERIALIZED (
    SELECT d.message_id
    FROM scheduled_messages AS d
    WHERE of_stream IS NULL OR d.stream = of_stream COLLATE "C"
    FOR UPDATE SKIP LOCKED
  )
  DELETE FROM scheduled_messages AS d
  USING free AS f
  WHERE d.message_id = f.message_id;
END
$$;

COMMENT ON FUNCTION _forget_scheduled(text) IS
$$Internal: forget the scheduled messages of a stream (NULL: of all streams), except those that
another transaction cancels at this moment.$$;

-- functions/schedule/cancel_message.sql
CREATE OR REPLACE FUNCTION cancel_message(
  message_id uuid
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  cancelled text;
BEGIN
  IF message_id IS NULL THEN
    PERFORM _refuse_argument('message_id', 'must be the id of a message, not NULL');
  END IF;
  -- Waits for the end of a transaction that delivers it.
  DELETE FROM scheduled_messages AS d
  WHERE _in_store() AND d.message_id = cancel_message.message_id
  RETURNING d.stream INTO cancelled;
  -- Not _refuse_target: do not reveal the stream to a role that may not write to it.
  IF cancelled IS NOT NULL
    AND _writers_restricted()
    AND NOT _may_write(_acting_role(), category(cancelled))
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format(
        'role %s may not write to the stream of scheduled message %s', _acting_role(), message_id
      ),
      DETAIL = json_build_object('role', _acting_role(), 'stream', '', 'category', '')::text,
      HINT = 'Nothing was cancelled. grant_access gives a role the right to write, to some '
        'categories or to all.';
  END IF;
  RETURN cancelled IS NOT NULL;
END
$$;

COMMENT ON FUNCTION cancel_message(uuid) IS
$$Forget a scheduled message; return whether it was there: false if it was delivered or never
scheduled. Raises 22023 for a bad argument; 42501, which does not name the stream, if the role may
not write to its category.$$;

-- functions/schedule/count_scheduled.sql
CREATE OR REPLACE FUNCTION count_scheduled(
  OUT scheduled bigint,
  OUT overdue bigint,
  OUT next_due_at timestamptz
)
RETURNS record
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  SELECT
    count(*), count(*) FILTER (WHERE d.due_at < clock_timestamp() - interval '1 minute'),
    min(d.due_at)
  INTO scheduled, overdue, next_due_at
  FROM scheduled_messages AS d
  WHERE _in_store();
END
$$;

COMMENT ON FUNCTION count_scheduled() IS
$$Return how many messages are scheduled, how many of them have been due for more than a minute, and
when the next one is due, or was.$$;

-- functions/schedule/deliver_scheduled.sql
CREATE OR REPLACE FUNCTION deliver_scheduled(
  max_count bigint DEFAULT 100,
  due_by timestamptz DEFAULT NULL,
  OUT delivered bigint,
  OUT next_due interval
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  -- A variable: an index is not searched for a volatile value, and all of it would be read.
  until timestamptz := coalesce(due_by, clock_timestamp());
  due record;
  still_due boolean;
  held text[] := ARRAY[]::text[];
BEGIN
  IF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;
  PERFORM _refuse_isolation();
  -- Otherwise it would answer that nothing is due, until something is.
  IF current_setting('transaction_read_only')::boolean THEN
    RAISE EXCEPTION USING
      ERRCODE = 'read_only_sql_transaction',
      MESSAGE = 'scheduled messages cannot be delivered in a read-only transaction',
      DETAIL = json_build_object('standby', pg_is_in_recovery())::text;
  END IF;
  delivered := 0;
  FOR due IN
    SELECT d.message_id, d.stream
    FROM scheduled_messages AS d
    WHERE d.due_at <= until
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), category(d.stream)))
    ORDER BY d.due_at, d.scheduled_position
  LOOP
    EXIT WHEN delivered >= max_count;
    CONTINUE WHEN due.stream = ANY (held);
    -- Waits for no stream and no row, so it cannot deadlock. A message that another transaction
    -- holds, and the later ones of its stream, are for the next call: the order in a stream is
    -- kept. The tables come before the row, as in the order of locks (docs/design.md).
    IF NOT pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(due.stream COLLATE "C")) THEN
      held := array_append(held, due.stream);
      CONTINUE;
    END IF;
    LOCK TABLE messages, streams IN ROW EXCLUSIVE MODE;
    -- It may have been cancelled, and then scheduled again, since the loop read it.
    SELECT d.due_at <= until AND d.stream = due.stream COLLATE "C" INTO still_due
    FROM scheduled_messages AS d
    WHERE d.message_id = due.message_id
    FOR UPDATE SKIP LOCKED;
    IF still_due IS NOT TRUE THEN
      held := array_append(held, due.stream);
      CONTINUE;
    END IF;
    -- A message with this id may have been written already: each id is written once.
    PERFORM write_message(
      d.stream, d.type, d.data, d.metadata, message_id => d.message_id
    )
    FROM scheduled_messages AS d
    WHERE d.message_id = due.message_id
      AND NOT EXISTS (SELECT FROM messages AS m WHERE m.message_id = due.message_id);
    DELETE FROM scheduled_messages AS d WHERE d.message_id = due.message_id;
    delivered := delivered + 1;
  END LOOP;

  SELECT greatest(d.due_at - clock_timestamp(), interval '0') INTO next_due
  FROM scheduled_messages AS d
  WHERE NOT _writers_restricted() OR _may_write(_acting_role(), category(d.stream))
  ORDER BY d.due_at, d.scheduled_position
  LIMIT 1;
END
$$;

COMMENT ON FUNCTION deliver_scheduled(bigint, timestamptz) IS
$$Write the scheduled messages that are due to their streams, max_count at most, in the order of
their times; return how many, and how long it is until the next one is due: NULL if none is
scheduled. due_by is the time for which they are due; NULL: now. Each is written once, with its id,
however many sessions call this at once; a message whose id has been written already is only
forgotten. Waits for no other transaction: messages of a stream that another one writes to are left
for the next call, and so are those that the role may not write. Call it again at once if it
returned max_count, otherwise after next_due, or when a notification comes. Raises 22023 for a bad
argument; MS004 unless under READ COMMITTED; 25006 in a read-only transaction, as on a standby.$$;

-- functions/schedule/list_scheduled.sql
CREATE OR REPLACE FUNCTION list_scheduled(
  of_stream text DEFAULT NULL,
  max_count bigint DEFAULT 1000
)
RETURNS TABLE (
  message_id uuid,
  due_at timestamptz,
  stream text,
  type text,
  data jsonb,
  metadata jsonb,
  scheduled_at timestamptz
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
-- So that the planner knows whether a stream is given, and looks it up by its index.
SET plan_cache_mode = force_custom_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF octet_length(of_stream) = 0 THEN
    PERFORM _refuse_value(
      'of_stream', 'must be the name of a stream, or NULL for all', to_jsonb(of_stream)
    );
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;
  RETURN QUERY
  SELECT d.message_id, d.due_at, d.stream, d.type, d.data, d.metadata, d.scheduled_at
  FROM scheduled_messages AS d
  WHERE _in_store()
    AND (of_stream IS NULL OR d.stream = of_stream COLLATE "C")
  ORDER BY d.due_at, d.scheduled_position
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION list_scheduled(text, bigint) IS
$$Return the scheduled messages of a stream (NULL: of all streams), max_count at most, in the order
in which they will be delivered. Raises 22023 for a bad argument.$$;

-- functions/schedule/schedule_message.sql
CREATE OR REPLACE FUNCTION schedule_message(
  stream text,
  type text,
  data jsonb,
  due_at timestamptz,
  metadata jsonb DEFAULT NULL,
  message_id uuid DEFAULT NULL
)
RETURNS uuid
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  new_id uuid := coalesce(message_id, new_message_id());
  other record;
BEGIN
  PERFORM _refuse_write(stream, NULL, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL);
  IF _time_fits(due_at) IS NOT TRUE THEN
    PERFORM _refuse_value(
      'due_at', 'must be between 0001-01-02 and 9999-12-30, in UTC', to_jsonb(due_at::text)
    );
  END IF;
  PERFORM _refuse_target(stream, NULL);

  -- As a writer of messages, with a mark and a position: sessions that wait for messages are
  -- notified, or see this transaction in flight and then that the last position has moved. One of
  -- them may deliver this message and have computed that nothing is due before a later time.
  PERFORM _announce_write();
  LOOP
    INSERT INTO scheduled_messages AS d (
      message_id, due_at, scheduled_at, scheduled_position, stream, type, data, metadata
    )
    SELECT
      new_id, schedule_message.due_at, clock_timestamp(), nextval('global_position_seq'),
      schedule_message.stream, schedule_message.type, schedule_message.data,
      schedule_message.metadata
    WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.message_id = new_id)
    ON CONFLICT (message_id) DO NOTHING;
    IF FOUND THEN
      -- The statement may have waited for the end of a transaction that has delivered this id, and
      -- its snapshot is older.
      DELETE FROM scheduled_messages AS d
      WHERE d.message_id = schedule_message.message_id
        AND EXISTS (SELECT FROM messages AS m WHERE m.message_id = d.message_id);
      IF NOT FOUND THEN
        RETURN new_id;
      END IF;
    END IF;

    SELECT u.stream, u.version, u.global_position, u.same INTO other
    FROM (
      SELECT
        s.stream, m.version, m.global_position,
        s.stream = schedule_message.stream COLLATE "C"
          AND m.type = schedule_message.type COLLATE "C" AND m.data = schedule_message.data
          AND _same_metadata(m.metadata, schedule_message.metadata) AS same
      FROM messages AS m
      CROSS JOIN LATERAL (
        SELECT i.stream FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
      ) AS s
      WHERE m.message_id = new_id
      UNION ALL
      SELECT
        d.stream, 0, 0,
        d.stream = schedule_message.stream COLLATE "C"
          AND d.type = schedule_message.type COLLATE "C" AND d.data = schedule_message.data
          AND _same_metadata(d.metadata, schedule_message.metadata)
      FROM scheduled_messages AS d
      WHERE d.message_id = new_id
    ) AS u
    LIMIT 1;
    EXIT WHEN FOUND;  -- otherwise it was cancelled after the conflict
  END LOOP;
  IF other.same THEN
    PERFORM pg_current_xact_id();  -- as a repetition in write_arrays
    RETURN new_id;
  END IF;
  -- Do not reveal a stream to a role that may not write to it.
  IF _writers_restricted() AND NOT _may_write(_acting_role(), category(other.stream)) THEN
    other.stream := '';
    other.version := 0;
    other.global_position := 0;
  END IF;
  RAISE EXCEPTION USING
    ERRCODE = 'MS002',
    MESSAGE = format('message id %s is already used', new_id),
    DETAIL = json_build_object(
      'message_id', new_id, 'stream', other.stream, 'version', other.version,
      'global_position', other.global_position
    )::text,
    HINT = 'A new message needs a new id. To change a scheduled message, cancel it, then schedule '
      'it again. Nothing was scheduled.';
END
$$;

COMMENT ON FUNCTION schedule_message(text, text, jsonb, timestamptz, jsonb, uuid) IS
$$Keep a message that deliver_scheduled writes to its stream at due_at or after; return its id.
Without a message_id a new one is made. Scheduling the same message with the same id again changes
nothing, whether it is still scheduled, then at its first time, or written. A call with the id of a
message that another transaction schedules, delivers or cancels waits for its end. Sessions that
wait for messages are notified. The transaction is in flight, as that of write_message: readers
across streams wait for its end. Raises 22023 for a bad argument; MS002 if the message_id is used by
another message, version and global_position 0 in DETAIL if that one is scheduled; 42501 if the role
may not write to the stream's category.$$;

-- functions/snapshots/_drop_states.sql
CREATE OR REPLACE FUNCTION _drop_states(
  stream_id bigint,
  from_version bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM snapshots AS n
  WHERE n.stream_id = _drop_states.stream_id AND n.version >= from_version;
  INSERT INTO stream_changes AS c (stream_id, changes)
  VALUES (_drop_states.stream_id, 1)
  ON CONFLICT (stream_id) DO UPDATE SET changes = c.changes + 1;
END
$$;

COMMENT ON FUNCTION _drop_states(bigint, bigint) IS
$$Internal: drop the snapshots of a stream that have this version in them, and have save_snapshot
refuse states of its messages as they were until now. The caller holds the stream's lock.$$;

-- functions/snapshots/drop_snapshots.sql
CREATE OR REPLACE FUNCTION drop_snapshots(
  snapshot text,
  code_version bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  dropped bigint;
BEGIN
  PERFORM _refuse_stranger('drop_snapshots');
  IF (octet_length(snapshot) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value('snapshot', 'must have 1 to 255 bytes', to_jsonb(snapshot));
  END IF;
  -- Of a stream that was cut off, the last snapshot is all that is left of the beginning. A session
  -- that cuts one off at this moment has locked its row.
  WITH whole AS MATERIALIZED (
    SELECT s.stream_id
    FROM streams AS s
    WHERE s.floor = 0
      AND EXISTS (
        SELECT
        FROM snapshots AS a
        WHERE a.stream_id = s.stream_id
          AND a.snapshot = drop_snapshots.snapshot COLLATE "C"
          AND (a.code_version = drop_snapshots.code_version) IS NOT FALSE
      )
    FOR SHARE SKIP LOCKED
  )
  DELETE FROM snapshots AS n
  USING whole AS w
  WHERE n.stream_id = w.stream_id
    AND n.snapshot = drop_snapshots.snapshot COLLATE "C"
    AND (n.code_version = drop_snapshots.code_version) IS NOT FALSE;
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END
$$;

COMMENT ON FUNCTION drop_snapshots(text, bigint) IS
$$Drop the snapshots of this name and code_version (NULL: of every version); return how many. Those
of streams whose beginning was deleted, or is deleted by another transaction at this moment, stay.
Raises 22023 for a bad argument.$$;

-- functions/snapshots/load_stream.sql
CREATE OR REPLACE FUNCTION load_stream(
  stream text,
  snapshot text DEFAULT NULL,
  code_version bigint DEFAULT NULL,
  to_version bigint DEFAULT NULL,
  to_time timestamptz DEFAULT NULL,
  max_count bigint DEFAULT 1000,
  known_message_id uuid DEFAULT NULL,
  known_changes bigint DEFAULT NULL
)
RETURNS TABLE (
  message_id uuid,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  changes bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
  upper_version bigint := coalesce(to_version, 9223372036854775807);
  is_early boolean := false;
  saved_version bigint;
  saved_id uuid;
  saved_state jsonb;
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  ELSIF upper_version < 0 THEN
    PERFORM _refuse_value('to_version', 'must be 0 or more', to_jsonb(to_version));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  ELSIF octet_length(snapshot) NOT BETWEEN 1 AND 255 THEN
    PERFORM _refuse_value('snapshot', 'must have 1 to 255 bytes', to_jsonb(snapshot));
  ELSIF (snapshot IS NULL) <> (code_version IS NULL) THEN
    PERFORM _refuse_argument('code_version', 'must be given with snapshot, both or none');
  ELSIF known_message_id IS NOT NULL AND known_changes IS NULL THEN
    PERFORM _refuse_argument('known_changes', 'must be given with known_message_id');
  END IF;

  -- Not a join, which could walk along a table that the planner thinks is small.
  SELECT
    s.stream_id,
    s.floor,
    coalesce(
      (SELECT c.changes FROM stream_changes AS c WHERE c.stream_id = s.stream_id), 0
    ) AS changes
  INTO source
  FROM streams AS s
  WHERE _in_store() AND s.stream = load_stream.stream COLLATE "C";

  IF to_time IS NOT NULL THEN
    upper_version := least(
      upper_version,
      (
        SELECT m.version - 1
        FROM messages AS m
        WHERE m.stream_id = source.stream_id AND m.added_at > to_time
        ORDER BY m.version
        LIMIT 1
      )
    );
    -- Messages that were deleted may have been added after that time: nobody knows any more.
    is_early := source.floor > 0 AND NOT EXISTS (
      SELECT
      FROM messages AS m
      WHERE m.stream_id = source.stream_id
        AND m.version = source.floor + 1
        AND m.added_at <= to_time
    );
  END IF;

  -- The caller's state, if the stream still has its last message and none before it was changed.
  IF known_changes = source.changes THEN
    SELECT m.version, m.message_id INTO saved_version, saved_id
    FROM messages AS m
    WHERE m.message_id = known_message_id
      AND m.stream_id = source.stream_id
      AND m.version <= upper_version;
  END IF;
  IF saved_version IS NULL AND snapshot IS NOT NULL THEN
    SELECT n.version, n.state INTO saved_version, saved_state
    FROM snapshots AS n
    WHERE n.stream_id = source.stream_id
      AND n.snapshot = load_stream.snapshot COLLATE "C"
      AND n.code_version = load_stream.code_version
      AND n.version BETWEEN source.floor AND upper_version;
  END IF;
  IF is_early OR coalesce(saved_version, 0) < source.floor THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS008',
      MESSAGE = format(
        'the messages of stream %s up to version %s were deleted, and no snapshot has them',
        stream, source.floor
      ),
      DETAIL = json_build_object('stream', stream, 'floor', source.floor)::text,
      HINT = 'Its state cannot be made of the messages that are left. Read them with read_stream.';
  END IF;

  RETURN QUERY SELECT
    saved_id, coalesce(saved_version, 0), NULL::bigint, NULL::text, saved_state, NULL::jsonb,
    NULL::timestamptz, coalesce(source.changes, 0);
  RETURN QUERY
  SELECT
    m.message_id, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
    NULL::bigint
  FROM messages AS m
  WHERE m.stream_id = source.stream_id
    AND m.version > coalesce(saved_version, 0)
    AND m.version <= upper_version
  ORDER BY m.version
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION load_stream(text, text, bigint, bigint, timestamptz, bigint, uuid, bigint) IS
$$Return what the state of a stream is made of, up to to_version (NULL: the last one) and up to the
last message before the first one that was added after to_time. The first row has no type: its data
is the snapshot of this name and code_version, and its version the version that the snapshot stands
for; without a snapshot NULL and 0. Its changes is the number that save_snapshot takes. The messages
after it follow, at most max_count. A caller that has a state already passes the id of its last
message as known_message_id, and the changes that came with it. If no message up to there was
changed since, the first row has that id and no data, and only the messages after it follow. Raises
22023 for a bad argument; MS008 if the beginning of the stream was deleted and no snapshot has it,
or not at that version or time.$$;

-- functions/snapshots/save_snapshot.sql
CREATE OR REPLACE FUNCTION save_snapshot(
  stream text,
  snapshot text,
  code_version bigint,
  version bigint,
  state jsonb,
  changes bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  ELSIF (octet_length(snapshot) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value('snapshot', 'must have 1 to 255 bytes', to_jsonb(snapshot));
  ELSIF code_version IS NULL THEN
    PERFORM _refuse_argument('code_version', 'must be a number, not NULL');
  ELSIF (version >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('version', 'must be 1 or more', to_jsonb(version));
  ELSIF state IS NULL THEN
    PERFORM _refuse_argument('state', 'must be a JSON value, not NULL');
  ELSIF _payload_problem(state) IS NOT NULL THEN
    PERFORM _refuse_argument('state', _payload_problem(state));
  ELSIF changes IS NULL THEN
    PERFORM _refuse_argument('changes', 'must be the number that load_stream gave, not NULL');
  END IF;
  -- On a standby, for example: the caller has its state without it.
  IF current_setting('transaction_read_only') = 'on' THEN
    RETURN false;
  END IF;
  -- Before the lock, which would tell a role about a stream that it may not write to.
  PERFORM _refuse_target(stream, NULL);
  PERFORM _refuse_isolation();
  -- A session that deletes or redacts messages holds this lock. Do not wait for it, nor for a
  -- writer: a later reader saves a snapshot.
  IF NOT pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C")) THEN
    RETURN false;
  END IF;
  -- A statement of its own: it sees all that was committed before the lock was free.
  INSERT INTO snapshots AS n (stream_id, code_version, version, added_at, snapshot, state)
  SELECT
    s.stream_id, save_snapshot.code_version, save_snapshot.version, clock_timestamp(),
    save_snapshot.snapshot, save_snapshot.state
  FROM streams AS s
  LEFT JOIN LATERAL (
    SELECT m.version
    FROM messages AS m
    WHERE m.stream_id = s.stream_id
    ORDER BY m.version DESC
    LIMIT 1
  ) AS l ON true
  WHERE s.stream = save_snapshot.stream COLLATE "C"
    AND save_snapshot.changes = coalesce(
      (SELECT c.changes FROM stream_changes AS c WHERE c.stream_id = s.stream_id), 0
    )
    AND save_snapshot.version BETWEEN s.floor AND coalesce(l.version, s.floor)
  ON CONFLICT (stream_id, snapshot, code_version) DO UPDATE
  SET version = excluded.version, added_at = excluded.added_at, state = excluded.state
  WHERE n.version < excluded.version;
  RETURN FOUND;
END
$$;

COMMENT ON FUNCTION save_snapshot(text, text, bigint, bigint, jsonb, bigint) IS
$$Save the state that code of this name and version has made of a stream's messages up to a version;
changes is the number that load_stream gave with them. Only the last state is kept. Answers false,
and saves nothing, if a later state is there, if messages were redacted or the stream was deleted
since, if the stream does not have the version, or if another transaction has locked the stream. So
it does in a transaction that only reads, as on a standby. Locks the stream against writers until
the transaction ends. Raises 22023 for a bad argument; 42501 if the role may not write to the
stream's category; MS004 unless under READ COMMITTED.$$;

-- functions/store/_in_store.sql
CREATE OR REPLACE FUNCTION _in_store()
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN true;

COMMENT ON FUNCTION _in_store() IS
$$Internal: true. A statement that calls it fails if the schema was renamed: without it, the names
of tables in a function would then mean temporary tables and views of the caller, whose code would
run as the owner. Inlined into its callers, hence without a search_path of its own.$$;

-- functions/store/applied_migrations.sql
CREATE OR REPLACE FUNCTION applied_migrations()
RETURNS TABLE (
  number bigint,
  checksum text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT m.number, m.checksum FROM migrations AS m WHERE _in_store() ORDER BY m.number;
END
$$;

COMMENT ON FUNCTION applied_migrations() IS
$$Return the number and SHA-256 of each installed migration, and in row 0 the checksum of the
functions, views and grants.$$;

-- functions/store/list_sequences.sql
CREATE OR REPLACE FUNCTION list_sequences()
RETURNS TABLE (
  sequence text,
  last_value bigint,
  highest bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    -- After the statement's snapshot: no number in its rows was drawn later.
    q.sequence, greatest(pg_sequence_last_value(to_regclass(q.sequence)), 0),
    coalesce(q.highest, 0)
  FROM (
    VALUES
      (
        text 'global_position_seq',
        greatest(
          (SELECT max(m.global_position) FROM messages AS m WHERE m.global_position > 0),
          (SELECT max(greatest(p.checkpoint, p.swept_position)) FROM subscription_partitions AS p),
          (SELECT max(w.swept_position) FROM subscription_sweeps AS w),
          (SELECT max(k.global_position) FROM parked_messages AS k),
          (SELECT max(greatest(r.reached_position, r.keep_after)) FROM retention_policies AS r)
        )
      ),
      ('stream_id_seq', (SELECT max(s.stream_id) FROM streams AS s WHERE s.stream_id > 0)),
      ('subscription_id_seq', (SELECT max(s.subscription_id) FROM subscriptions AS s)),
      ('audit_id_seq', (SELECT max(a.audit_id) FROM audit AS a))
  ) AS q (sequence, highest)
  WHERE _in_store();
END
$$;

COMMENT ON FUNCTION list_sequences() IS
$$List the store's sequences: the last number that each gave out (0: none), and the highest one that
is stored. If last_value is lower than highest, the sequence is behind: repair_sequences().$$;

-- functions/store/needed_version.sql
CREATE OR REPLACE FUNCTION needed_version()
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN 6;

COMMENT ON FUNCTION needed_version() IS
$$The lowest schema version that a package must know to use this store: the number of the last
migration that is breaking. A package that knows this version and not the store's schema_version()
uses the store as it is; it cannot upgrade it.$$;

-- functions/store/repair_sequences.sql
CREATE OR REPLACE FUNCTION repair_sequences()
RETURNS TABLE (
  sequence text,
  value_before bigint,
  value_after bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('repair_sequences');
  PERFORM _refuse_isolation();
  -- One of these at a time, and none beside skip_positions or an import that keeps positions: the
  -- later setval could set a sequence back. An INSERT locks its table before it draws a number.
  PERFORM _lock_rights();
  LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
  LOCK TABLE streams IN SHARE ROW EXCLUSIVE MODE;
  RETURN QUERY
  SELECT l.sequence, l.last_value, setval(to_regclass(l.sequence), l.highest)
  FROM list_sequences() AS l
  WHERE l.last_value < l.highest;
END
$$;

COMMENT ON FUNCTION repair_sequences() IS
$$Set each sequence of the store that is behind to the highest number that is stored; return those
that were set. For a store whose tables were copied without their sequences, as logical replication
does, or whose sequences were set back by hand (MS007). Waits for open writers, and writers wait for
it until the transaction ends. If readers outside the database may have seen messages that are not
in this store, call skip_positions() too. For the store's owner only. Raises MS004 unless under READ
COMMITTED.$$;

-- functions/store/schema_version.sql
CREATE OR REPLACE FUNCTION schema_version()
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (SELECT max(m.number) FROM migrations AS m WHERE _in_store());
END
$$;

COMMENT ON FUNCTION schema_version() IS
$$Number of the last migration that was applied to this store.$$;

-- functions/subscriptions/_add_partitions.sql
CREATE OR REPLACE FUNCTION _add_partitions(
  subscription_id bigint,
  partitions bigint,
  checkpoint bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO subscription_partitions (
    subscription_id, partition, checkpoint, token, attempts, swept_position, stopped
  )
  SELECT
    _add_partitions.subscription_id, g.partition, _add_partitions.checkpoint,
    _new_token(0), 0, CASE WHEN partitions = 1 THEN _add_partitions.checkpoint END, false
  FROM generate_series(0, partitions - 1) AS g (partition);
END
$$;

COMMENT ON FUNCTION _add_partitions(bigint, bigint, bigint) IS
$$Internal: make the partitions of a subscription, each with a token that nobody has.$$;

-- functions/subscriptions/_finish_repartition.sql
CREATE OR REPLACE FUNCTION _finish_repartition(
  source subscriptions
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  swept bigint;
  own bigint;
BEGIN
  -- A claim waits for no lock, so it cannot deadlock: rows that another transaction has locked are
  -- left for the next claim.
  PERFORM FROM subscriptions AS s
  WHERE s.subscription_id = source.subscription_id
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  SELECT w.swept_position INTO swept
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- Once more, under the lock: another claim may have finished it since the caller read it.
  source := _subscription_of(source.subscription);
  IF source.next_partitions IS NULL THEN
    RETURN true;
  ELSIF source.partitions = 1 THEN
    SELECT p.checkpoint, p.swept_position INTO swept, own
    FROM subscription_partitions AS p
    WHERE p.subscription_id = source.subscription_id AND p.partition = 0
    FOR UPDATE SKIP LOCKED;
    IF (swept >= own) IS NOT TRUE THEN
      RETURN false;
    END IF;
    UPDATE subscription_sweeps AS w
    SET swept_position = swept
    WHERE w.subscription_id = source.subscription_id;
  ELSIF EXISTS (
    SELECT
    FROM subscription_heads AS h
    WHERE h.subscription_id = source.subscription_id
      AND h.head > (
        SELECT p.checkpoint
        FROM subscription_partitions AS p
        WHERE p.subscription_id = h.subscription_id AND p.partition = h.partition
      )
  ) THEN
    RETURN false;
  END IF;
  IF source.partitions > (
    SELECT count(*)
    FROM (
      SELECT
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id
      FOR UPDATE SKIP LOCKED
    ) AS f
  ) THEN
    RETURN false;
  END IF;
  IF (
    SELECT count(*)
    FROM parked_messages AS k
    WHERE k.subscription_id = source.subscription_id
  ) > (
    SELECT count(*)
    FROM (
      SELECT
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id
      FOR UPDATE SKIP LOCKED
    ) AS f
  ) THEN
    RETURN false;
  END IF;

  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;
  DELETE FROM subscription_partitions AS p WHERE p.subscription_id = source.subscription_id;
  PERFORM _add_partitions(source.subscription_id, source.next_partitions, swept);
  UPDATE subscriptions AS s
  SET partitions = source.next_partitions, next_partitions = NULL
  WHERE s.subscription_id = source.subscription_id;
  UPDATE parked_messages AS k
  SET partition = coalesce(
    (
      -- Not a join: for one the planner may walk along all messages (tests/plans).
      SELECT _partition_of(
        m.stream_id,
        (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id),
        m.metadata, source.next_partitions, source.partition_by
      )
      FROM messages AS m
      WHERE m.global_position = k.global_position
    ),
    k.partition
  )
  WHERE k.subscription_id = source.subscription_id;
  PERFORM _notify_sleepers();  -- there can be work for more of them now
  RETURN true;
END
$$;

COMMENT ON FUNCTION _finish_repartition(subscriptions) IS
$$Internal: give a subscription its new partitions if the old ones have dealt with all that was
known to wait; false if they have not, or another transaction has locked one of them.$$;

-- functions/subscriptions/_lock_partitions.sql
CREATE OR REPLACE FUNCTION _lock_partitions(
  subscription_id bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- In one order: an UPDATE or DELETE of several rows takes them in any.
  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = _lock_partitions.subscription_id
  ORDER BY p.partition
  FOR UPDATE;
END
$$;

COMMENT ON FUNCTION _lock_partitions(bigint) IS
$$Internal: lock the rows of all partitions of a subscription, in the order of their numbers.$$;

-- functions/subscriptions/_lock_subscription.sql
CREATE OR REPLACE FUNCTION _lock_subscription(
  subscription text
)
RETURNS subscriptions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  locked subscriptions;
BEGIN
  LOOP
    SELECT s.* INTO locked
    FROM subscriptions AS s
    WHERE s.subscription = _lock_subscription.subscription COLLATE "C"
    FOR UPDATE;
    EXIT WHEN FOUND;
    -- Dropped before the lock was granted. Raises MS021, unless another one of this name was
    -- created since.
    PERFORM _subscription_of(subscription);
  END LOOP;
  RETURN locked;
END
$$;

COMMENT ON FUNCTION _lock_subscription(text) IS
$$Internal: lock the row of the subscription of this name, and return it. Raises MS021 if there is
none, also if it is dropped by the transaction that this one waits for.$$;

-- functions/subscriptions/_reached_positions.sql
CREATE OR REPLACE FUNCTION _reached_positions(
  subscription_id bigint,
  swept bigint
)
RETURNS TABLE (
  partition bigint,
  reached bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    p.partition,
    CASE
      WHEN p.swept_position IS NOT NULL OR h.head > p.checkpoint THEN p.checkpoint
      ELSE greatest(p.checkpoint, _reached_positions.swept)
    END
  FROM subscription_partitions AS p
  LEFT JOIN subscription_heads AS h USING (subscription_id, partition)
  WHERE p.subscription_id = _reached_positions.subscription_id;
END
$$;

COMMENT ON FUNCTION _reached_positions(bigint, bigint) IS
$$Internal: return the position up to which each partition has handled everything: its checkpoint,
or the swept position if nothing waits in it.$$;

-- functions/subscriptions/_set_of_names.sql
CREATE OR REPLACE FUNCTION _set_of_names(
  argument text,
  names text[]
)
RETURNS text[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF cardinality(names) = 0
    OR array_ndims(names) > 1  -- array_position has an error of its own for them
    OR array_position(names, NULL) IS NOT NULL
  THEN
    PERFORM _refuse_value(argument, 'must be names, or NULL for all', to_jsonb(names));
  ELSIF argument = 'types' AND '' COLLATE "C" = ANY (names) THEN
    PERFORM _refuse_value(argument, 'must be names of 1 byte or more', to_jsonb(names));
  ELSIF argument = 'categories'
    AND EXISTS (
      SELECT
      FROM unnest(_set_of_names.names) AS u (name)
      WHERE category(u.name) <> u.name COLLATE "C"
    )
  THEN
    PERFORM _refuse_value(
      argument, 'must be names of categories: the parts of streams'' names before the first -',
      to_jsonb(names)
    );
  END IF;
  -- A set: its order means nothing. Of nothing: NULL.
  RETURN (
    SELECT array_agg(DISTINCT u.name COLLATE "C") FROM unnest(_set_of_names.names) AS u (name)
  );
END
$$;

COMMENT ON FUNCTION _set_of_names(text, text[]) IS
$$Internal: return the names of a filter without repetition, in order. Raises 22023 for none,
for a NULL among them, and for a name that no type, or no category, can have.$$;

-- functions/subscriptions/_subscription_of.sql
CREATE OR REPLACE FUNCTION _subscription_of(
  subscription text
)
RETURNS subscriptions
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  found_row subscriptions;
BEGIN
  SELECT s.* INTO found_row
  FROM subscriptions AS s
  WHERE s.subscription = _subscription_of.subscription COLLATE "C";
  IF found_row.subscription_id IS NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS021',
      MESSAGE = format('there is no subscription %s', left(subscription, 255)),
      DETAIL = json_build_object('subscription', subscription)::text,
      HINT = 'list_subscriptions() has the names there are; create_subscription makes one.';
  END IF;
  RETURN found_row;
END
$$;

COMMENT ON FUNCTION _subscription_of(text) IS
$$Internal: the subscription of this name. Raises MS021 if there is none.$$;

-- functions/subscriptions/create_subscription.sql
CREATE OR REPLACE FUNCTION create_subscription(
  subscription text,
  categories text[] DEFAULT NULL,
  types text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partitions bigint DEFAULT 1,
  partition_by text DEFAULT 'stream',
  start_position bigint DEFAULT 0,
  start_time timestamptz DEFAULT NULL,
  on_failure text DEFAULT 'stop',
  max_attempts bigint DEFAULT 5,
  retry_delay interval DEFAULT '1 second',
  metadata jsonb DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  start_at bigint;
  new_id bigint;
  stored record;
BEGIN
  PERFORM _refuse_stranger('create_subscription');
  IF (octet_length(subscription) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value(
      'subscription', 'must be a name of 1 to 255 bytes', to_jsonb(subscription)
    );
  ELSIF partitions IS NULL THEN
    PERFORM _refuse_value('partitions', 'must be between 1 and 65536', to_jsonb(partitions));
  ELSIF start_position < 0 THEN
    PERFORM _refuse_value(
      'start_position', 'must be 0 or more, or NULL for the end', to_jsonb(start_position)
    );
  ELSIF (on_failure IN ('stop', 'park')) IS NOT TRUE THEN
    PERFORM _refuse_value('on_failure', 'must be stop or park', to_jsonb(on_failure));
  ELSIF (max_attempts >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_attempts', 'must be 1 or more', to_jsonb(max_attempts));
  ELSIF (retry_delay BETWEEN '0' AND '1000 years') IS NOT TRUE THEN
    PERFORM _refuse_value('retry_delay', 'must be between 0 and 1000 years', to_jsonb(retry_delay));
  END IF;
  PERFORM _refuse_metadata(metadata);
  categories := _set_of_names('categories', categories);
  types := _set_of_names('types', types);
  PERFORM _refuse_filter(0, partitions, partition_by, stream_pattern);

  IF start_time IS NOT NULL THEN
    start_at := position_before(start_time);
  ELSE
    start_at := coalesce(start_position, safe_position());
  END IF;

  INSERT INTO subscriptions AS s (
    subscription_id, partitions, max_attempts, created_at, retry_delay, paused, subscription,
    partition_by, on_failure, stream_pattern, categories, types, metadata
  )
  VALUES (
    nextval('subscription_id_seq'), create_subscription.partitions,
    create_subscription.max_attempts, clock_timestamp(), create_subscription.retry_delay, false,
    create_subscription.subscription, create_subscription.partition_by,
    create_subscription.on_failure, create_subscription.stream_pattern,
    create_subscription.categories, create_subscription.types, create_subscription.metadata
  )
  ON CONFLICT DO NOTHING
  RETURNING s.subscription_id INTO new_id;

  IF new_id IS NOT NULL THEN
    PERFORM _refuse_position(start_at);
    INSERT INTO subscription_sweeps (subscription_id, swept_position) VALUES (new_id, start_at);
    PERFORM _add_partitions(new_id, partitions, start_at);
    RETURN true;
  END IF;

  SELECT s.* INTO stored
  FROM subscriptions AS s
  WHERE s.subscription = create_subscription.subscription COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _refuse_sequences();  -- the id that was drawn is in use
  ELSIF stored.categories IS DISTINCT FROM categories COLLATE "C"
    OR stored.types IS DISTINCT FROM types COLLATE "C"
    OR stored.stream_pattern IS DISTINCT FROM stream_pattern COLLATE "C"
    OR stored.partition_by <> partition_by COLLATE "C"
    OR stored.metadata IS DISTINCT FROM metadata
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS022',
      MESSAGE = (
        SELECT
          format('subscription %s exists and reads something else: ', subscription)
          || left(
            string_agg(
              format('%s %s, not %s', d.name, coalesce(d.present, 'any'), coalesce(d.given, 'any')),
              '; '
            ),
            500
          )
        FROM (
          VALUES
            ('categories', stored.categories::text, categories::text),
            ('types', stored.types::text, types::text),
            ('stream_pattern', stored.stream_pattern, stream_pattern),
            ('partition_by', stored.partition_by, partition_by),
            ('metadata', stored.metadata::text, metadata::text)
        ) AS d (name, present, given)
        WHERE d.present COLLATE "C" IS DISTINCT FROM d.given COLLATE "C"
      ),
      DETAIL = json_build_object(
        'subscription', subscription, 'categories', stored.categories, 'types', stored.types,
        'stream_pattern', stored.stream_pattern, 'partition_by', stored.partition_by,
        'metadata', stored.metadata,
        'partitions', coalesce(stored.next_partitions, stored.partitions)
      )::text,
      HINT = 'refilter_subscription changes its filters. For another partition_by, give it another '
        'name, or drop it first.';
  ELSIF (stored.on_failure, stored.max_attempts, stored.retry_delay) IS NOT DISTINCT FROM (
    on_failure COLLATE "C", max_attempts, retry_delay
  ) THEN
    RETURN false;
  ELSE
    UPDATE subscriptions AS s
    SET
      on_failure = create_subscription.on_failure,
      max_attempts = create_subscription.max_attempts,
      retry_delay = create_subscription.retry_delay
    WHERE s.subscription_id = stored.subscription_id;
    IF FOUND THEN
      RETURN false;
    END IF;
  END IF;
  -- It was dropped after the conflict.
  RETURN create_subscription(
    subscription, categories, types, stream_pattern, partitions, partition_by, start_position,
    start_time, on_failure, max_attempts, retry_delay, metadata
  );
END
$$;

COMMENT ON FUNCTION create_subscription(
  text, text[], text[], text, bigint, text, bigint, timestamptz, text, bigint, interval, jsonb
) IS
$$Create a named durable reader; true if it is new, false if it was there and reads the same. It
reads all messages, or those of some categories, types or streams (filters as read_all), or whose
metadata contains an object (as read_matching), in so many partitions. It starts after
start_position (0: at the beginning; NULL: at the end), or with the messages added from start_time
on. A failing message is tried max_attempts times, after retry_delay that doubles each time; then
its partition stops, or with on_failure park the message is put aside. For one that is there the
start and the number of partitions are as they are (see rewind_subscription,
repartition_subscription), and the three settings of failure are updated. Raises 22023 for a bad
argument; MS022 if it is there and reads something else (see refilter_subscription).$$;

-- functions/subscriptions/drop_subscription.sql
CREATE OR REPLACE FUNCTION drop_subscription(
  subscription text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  dropped bigint;
BEGIN
  PERFORM _refuse_stranger('drop_subscription');
  -- In the order in which others take them (docs/design.md): the subscription, its sweep, its
  -- partitions, their lists of work, its parked messages.
  dropped := (_lock_subscription(subscription)).subscription_id;
  PERFORM FROM subscription_sweeps AS w WHERE w.subscription_id = dropped FOR UPDATE;
  PERFORM _lock_partitions(dropped);
  PERFORM _lock_parked(dropped, NULL);
  DELETE FROM subscription_sweeps AS w WHERE w.subscription_id = dropped;
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = dropped;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = dropped;
  DELETE FROM subscription_partitions AS p WHERE p.subscription_id = dropped;
  DELETE FROM parked_messages AS k WHERE k.subscription_id = dropped;
  DELETE FROM subscriptions AS s WHERE s.subscription_id = dropped;
END
$$;

COMMENT ON FUNCTION drop_subscription(text) IS
$$Delete a subscription, with its checkpoints and its parked messages. Its workers lose their
leases. Raises MS021 if there is none.$$;

-- functions/subscriptions/hold_subscription.sql
CREATE OR REPLACE FUNCTION hold_subscription(
  subscription text
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  held bigint;
BEGIN
  PERFORM _refuse_isolation();
  -- The subscription first: a repartition would replace the rows of its partitions.
  held := (_lock_subscription(subscription)).subscription_id;
  PERFORM _lock_partitions(held);
  -- A statement of its own, which sees what was acknowledged before the locks were granted.
  RETURN (
    SELECT max(p.checkpoint)
    FROM subscription_partitions AS p
    WHERE p.subscription_id = held
  );
END
$$;

COMMENT ON FUNCTION hold_subscription(text) IS
$$Keep a subscription's workers from acknowledging until the transaction ends; return the highest
checkpoint of its partitions: it has handled no message after that position. Handlers that work
meanwhile commit afterwards. Raises MS021 if there is none; MS004 unless under READ COMMITTED.$$;

-- functions/subscriptions/list_partitions.sql
CREATE OR REPLACE FUNCTION list_partitions()
RETURNS TABLE (
  subscription text,
  partition bigint,
  state text,
  checkpoint bigint,
  behind bigint,
  worker text,
  leased_until timestamptz,
  retry_at timestamptz,
  attempts bigint,
  failed_position bigint,
  error text
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint := 9223372036854775807;
BEGIN
  -- A standby does not know what is in flight: there it counts up to the last message it has.
  IF pg_is_in_recovery() THEN
    safe := _last_visible(safe);
  ELSE
    safe := (horizon()).safe_position;
  END IF;
  RETURN QUERY
  SELECT
    s.subscription,
    p.partition,
    CASE
      WHEN s.paused THEN 'paused'
      WHEN p.stopped THEN 'stopped'
      WHEN p.leased_until BETWEEN clock_timestamp() AND clock_timestamp() + p.lease THEN 'working'
      WHEN e.waits AND p.retry_at > clock_timestamp() THEN 'retrying'
      WHEN e.waits OR e.reached < safe THEN 'waiting'
      ELSE 'idle'
    END,
    e.reached,
    greatest(safe - e.reached, 0),
    p.worker,
    p.leased_until,
    p.retry_at,
    p.attempts,
    p.failed_position,
    p.error
  FROM subscriptions AS s
  JOIN subscription_sweeps AS w USING (subscription_id)
  JOIN subscription_partitions AS p USING (subscription_id)
  LEFT JOIN subscription_heads AS h USING (subscription_id, partition)
  CROSS JOIN LATERAL (
    SELECT
      coalesce(_may_wait(p.checkpoint, p.swept_position, h.head), false) AS waits,
      CASE
        WHEN p.swept_position IS NOT NULL OR h.head > p.checkpoint THEN p.checkpoint
        ELSE w.swept_position
      END AS reached
  ) AS e
  ORDER BY s.subscription, p.partition;
END
$$;

COMMENT ON FUNCTION list_partitions() IS
$$Return every partition of every subscription: its state (idle, waiting, working, retrying,
stopped, paused), its checkpoint, how many positions that is behind the safe position, the worker
that has, or last had, the lease, and the last failure. On a standby, behind counts up to the last
message that it has.$$;

-- functions/subscriptions/list_subscriptions.sql
CREATE OR REPLACE FUNCTION list_subscriptions()
RETURNS TABLE (
  subscription text,
  categories text[],
  types text[],
  stream_pattern text,
  partitions bigint,
  next_partitions bigint,
  partition_by text,
  on_failure text,
  max_attempts bigint,
  retry_delay interval,
  paused boolean,
  created_at timestamptz,
  metadata jsonb
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    s.subscription, s.categories, s.types, s.stream_pattern, s.partitions, s.next_partitions,
    s.partition_by, s.on_failure, s.max_attempts, s.retry_delay, s.paused, s.created_at,
    s.metadata
  FROM subscriptions AS s
  WHERE _in_store()
  ORDER BY s.subscription;
END
$$;

COMMENT ON FUNCTION list_subscriptions() IS
$$Return the subscriptions with their filters; list_partitions has their progress.$$;

-- functions/subscriptions/pause_subscription.sql
CREATE OR REPLACE FUNCTION pause_subscription(
  subscription text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
BEGIN
  PERFORM _refuse_stranger('pause_subscription');
  source := _lock_subscription(subscription);
  UPDATE subscriptions AS s SET paused = true WHERE s.subscription_id = source.subscription_id;
END
$$;

COMMENT ON FUNCTION pause_subscription(text) IS
$$Hand out no more batches of a subscription; workers finish those that have begun. Raises MS021 for
an unknown subscription.$$;

-- functions/subscriptions/refilter_subscription.sql
CREATE OR REPLACE FUNCTION refilter_subscription(
  subscription text,
  categories text[] DEFAULT NULL,
  types text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  metadata jsonb DEFAULT NULL,
  from_position bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
  safe bigint;
  swept bigint;
  lowest bigint;
  furthest bigint;
BEGIN
  PERFORM _refuse_stranger('refilter_subscription');
  PERFORM _refuse_metadata(metadata);
  categories := _set_of_names('categories', categories);
  types := _set_of_names('types', types);
  PERFORM _refuse_filter(0, 1, 'stream', stream_pattern);
  safe := safe_position();
  -- In the order in which others take them (docs/design.md). It waits for the worker that looks for
  -- work and for acknowledgements that are not committed yet.
  source := _lock_subscription(subscription);
  SELECT w.swept_position INTO swept
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  PERFORM _lock_partitions(source.subscription_id);
  SELECT min(r.reached), max(r.reached) INTO lowest, furthest
  FROM _reached_positions(source.subscription_id, swept) AS r;
  PERFORM _refuse_refilter(
    _subscription_of(subscription), lowest, furthest, from_position, safe
  );

  -- Every lease given before is void: its worker holds messages of the former filter, and would
  -- acknowledge those with them that it does not hold. A partition in which nothing waits has
  -- handled everything up to the swept position, although its checkpoint lies before.
  UPDATE subscription_partitions AS p
  SET
    checkpoint = g.reached,
    swept_position = CASE
      WHEN p.swept_position IS NOT NULL THEN greatest(p.swept_position, g.reached)
    END,
    token = _new_token(p.token),
    leased_until = NULL,
    -- claim_batch may have read the former filter before it locks this row: with a time here it
    -- leaves the partition to _claim_of, which reads the filter again.
    retry_at = coalesce(p.retry_at, clock_timestamp()),
    leases = 0
  FROM (
    SELECT r.partition, coalesce(from_position, r.reached) AS reached
    FROM _reached_positions(source.subscription_id, swept) AS r
  ) AS g
  WHERE p.subscription_id = source.subscription_id AND p.partition = g.partition;
  UPDATE subscriptions AS s
  SET
    categories = refilter_subscription.categories,
    types = refilter_subscription.types,
    stream_pattern = refilter_subscription.stream_pattern,
    metadata = refilter_subscription.metadata
  WHERE s.subscription_id = source.subscription_id;
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;

  -- List again the messages that were known to wait: the swept position stays, because no partition
  -- may be beyond it when their number changes.
  swept := greatest(swept, from_position);
  UPDATE subscription_sweeps AS w
  SET swept_position = coalesce(from_position, lowest)
  WHERE w.subscription_id = source.subscription_id;
  WHILE source.partitions > 1 AND (
    SELECT w.swept_position < swept
    FROM subscription_sweeps AS w
    WHERE w.subscription_id = source.subscription_id
  ) LOOP
    PERFORM _sweep_subscription(_subscription_of(subscription), swept);
  END LOOP;
  PERFORM _notify_sleepers();
  RETURN coalesce(from_position, lowest);
END
$$;

COMMENT ON FUNCTION refilter_subscription(text, text[], text[], text, jsonb, bigint) IS
$$Change what a subscription reads: all its filters, as create_subscription takes them. Return the
position after which it gains messages. Without from_position each partition gains them after its
checkpoint, and the lowest one is returned. With from_position none gains a message up to there: all
partitions must have handled every message of the former filter up to it, and no message after it.
The workers lose their leases, and handle their batches again by the new filter; no message of both
filters is left out. Parked messages stay parked, a stopped partition stays stopped. Raises MS021
for an unknown subscription, 22023 for a bad argument: also for a from_position that was passed, or
that is not reached yet.$$;

-- functions/subscriptions/repartition_subscription.sql
CREATE OR REPLACE FUNCTION repartition_subscription(
  subscription text,
  partitions bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
BEGIN
  PERFORM _refuse_stranger('repartition_subscription');
  IF partitions IS NULL THEN
    PERFORM _refuse_value('partitions', 'must be between 1 and 65536', to_jsonb(partitions));
  END IF;
  PERFORM _refuse_filter(0, partitions, 'stream', NULL);
  -- The subscription before its sweep, as drop_subscription.
  source := _lock_subscription(subscription);
  -- Not while a worker looks for work: the workers first handle the messages that are known to
  -- wait.
  PERFORM FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  UPDATE subscriptions AS s
  SET next_partitions = nullif(repartition_subscription.partitions, s.partitions)
  WHERE s.subscription_id = source.subscription_id;
  PERFORM _notify_sleepers();
END
$$;

COMMENT ON FUNCTION repartition_subscription(text, bigint) IS
$$Change the number of partitions. The workers first handle the messages that they have found, so
that all partitions stand at the same position. Then the new ones begin there: no message is left
out, handled twice, or handled out of order. A stopped partition has to be resumed for that, and a
paused subscription too. Raises 22023 for a bad number, MS021 for an unknown subscription.$$;

-- functions/subscriptions/resume_subscription.sql
CREATE OR REPLACE FUNCTION resume_subscription(
  subscription text,
  partition bigint DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
BEGIN
  PERFORM _refuse_stranger('resume_subscription');
  source := _lock_subscription(subscription);
  IF partition NOT BETWEEN 0 AND source.partitions - 1 THEN
    PERFORM _refuse_argument(
      'partition', format('must be one of 0 to %s', source.partitions - 1),
      jsonb_build_object('partition', partition)
    );
  ELSIF partition IS NULL THEN
    UPDATE subscriptions AS s SET paused = false WHERE s.subscription_id = source.subscription_id;
  END IF;
  -- In the order of their numbers, as rewind_subscription: an UPDATE takes them in any order.
  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND (resume_subscription.partition IS NULL OR p.partition = resume_subscription.partition)
    AND (p.stopped OR p.retry_at IS NOT NULL)
  ORDER BY p.partition
  FOR UPDATE;
  UPDATE subscription_partitions AS p
  SET stopped = false, retry_at = NULL, attempts = 0, leases = 0
  WHERE p.subscription_id = source.subscription_id
    AND (resume_subscription.partition IS NULL OR p.partition = resume_subscription.partition)
    AND (p.stopped OR p.retry_at IS NOT NULL);
  PERFORM _notify_sleepers();
END
$$;

COMMENT ON FUNCTION resume_subscription(text, bigint) IS
$$Resume a paused subscription and all its stopped partitions, or one stopped partition. The message
that failed is tried again at once. Raises 22023 for a partition that the subscription does not
have, MS021 for an unknown subscription.$$;

-- functions/subscriptions/rewind_subscription.sql
CREATE OR REPLACE FUNCTION rewind_subscription(
  subscription text,
  to_position bigint DEFAULT NULL,
  to_time timestamptz DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  source record;
  target bigint;
BEGIN
  PERFORM _refuse_stranger('rewind_subscription');
  -- The subscription before its sweep, as drop_subscription.
  source := _lock_subscription(subscription);
  target := coalesce(position_before(to_time), to_position);
  IF (target BETWEEN 0 AND safe_position()) IS NOT TRUE THEN
    PERFORM _refuse_argument(
      'to_position', 'must be between 0 and the safe position, or a time must be given',
      jsonb_build_object('to_position', to_position, 'safe_position', safe_position())
    );
  END IF;

  -- Waits for the worker that looks for work and for acknowledgements that are not committed yet;
  -- every lease given before is void after it. The partitions before their lists of work, as
  -- acknowledge does.
  PERFORM FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  PERFORM _lock_partitions(source.subscription_id);
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;
  UPDATE subscription_partitions AS p
  SET
    checkpoint = target,
    swept_position = CASE WHEN p.swept_position IS NOT NULL THEN target END,
    token = _new_token(p.token),
    leased_until = NULL,
    retry_at = NULL,
    attempts = 0,
    leases = 0,
    alone = 0,
    failed_position = NULL,
    error = NULL,
    stopped = false
  WHERE p.subscription_id = source.subscription_id;
  UPDATE subscription_sweeps AS w
  SET swept_position = target
  WHERE w.subscription_id = source.subscription_id;
  PERFORM _notify_sleepers();
  RETURN target;
END
$$;

COMMENT ON FUNCTION rewind_subscription(text, bigint, timestamptz) IS
$$Have a subscription continue after another global position, or with the messages added from a time
on: back, to have messages handled again, or forward, to leave some out. Return the position. Its
workers lose their leases. Parked messages stay parked. Raises 22023 for a position beyond the safe
one, MS021 for an unknown subscription.$$;

-- functions/subscriptions/subscription_position.sql
CREATE OR REPLACE FUNCTION subscription_position(
  subscription text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  IF source.partitions = 1 THEN
    RETURN (
      SELECT p.checkpoint
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id AND p.partition = 0
    );
  END IF;
  -- One statement: the swept position and the waiting messages belong together.
  RETURN (
    SELECT least(
      w.swept_position,
      (
        SELECT min(p.checkpoint)
        FROM subscription_heads AS h
        CROSS JOIN LATERAL (
          SELECT i.checkpoint
          FROM subscription_partitions AS i
          WHERE i.subscription_id = h.subscription_id AND i.partition = h.partition
          LIMIT 1
        ) AS p
        WHERE h.subscription_id = source.subscription_id AND h.head > p.checkpoint
      )
    )
    FROM subscription_sweeps AS w
    WHERE w.subscription_id = source.subscription_id
  );
END
$$;

COMMENT ON FUNCTION subscription_position(text) IS
$$The global position up to which a subscription has dealt with everything, in all its partitions:
to wait until it has passed a message that was just written. Raises MS021 if there is none.$$;

-- functions/transfer/_import_places.sql
CREATE OR REPLACE FUNCTION _import_places(
  streams text[],
  versions bigint[],
  OUT stream_ids bigint[],
  OUT category_keys bigint[],
  OUT misplaced bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  missing text[];
BEGIN
  FOR turn IN 1..2 LOOP
    SELECT
      array_agg(s.stream_id ORDER BY g.n),
      array_agg(s.category_key ORDER BY g.n),
      count(*) FILTER (
        WHERE g.version <> 1 + CASE
          WHEN g.version_before IS NOT NULL THEN g.version_before
          ELSE greatest(
            s.floor,
            (
              SELECT m.version
              FROM messages AS m
              WHERE m.stream_id = s.stream_id
              ORDER BY m.version DESC
              LIMIT 1
            )
          )
        END
      ),
      array_agg(g.stream ORDER BY g.n) FILTER (
        WHERE s.stream_id IS NULL AND g.version_before IS NULL
      )
    INTO stream_ids, category_keys, misplaced, missing
    FROM (
      SELECT
        u.n, u.stream, u.version,
        lag(u.version) OVER (PARTITION BY u.stream COLLATE "C" ORDER BY u.n) AS version_before
      FROM unnest(streams, versions) WITH ORDINALITY AS u (stream, version, n)
    ) AS g
    LEFT JOIN LATERAL (
      SELECT i.stream_id, i.category_key, i.floor
      FROM streams AS i
      WHERE i.stream = g.stream COLLATE "C"
      LIMIT 1
    ) AS s ON true;
    EXIT WHEN missing IS NULL;

    LOCK TABLE messages IN ROW EXCLUSIVE MODE;  -- as in _create_stream
    -- Conflicts only with a stream that came into being after the transaction's snapshot: then this
    -- raises 40001.
    INSERT INTO streams AS s (stream_id, category_key, stream, category)
    SELECT
      nextval('stream_id_seq'), _category_key(category(d.stream)), d.stream, category(d.stream)
    FROM unnest(missing) WITH ORDINALITY AS d (stream, n)
    ORDER BY d.n
    ON CONFLICT DO NOTHING;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _import_places(text[], bigint[]) IS
$$Internal: where messages go, creating streams that are not there; and how many have a version that
does not continue its stream. The caller holds the streams' locks.$$;

-- functions/transfer/_import_rest.sql
CREATE OR REPLACE FUNCTION _import_rest(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  reached_versions bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  stored boolean[];
  wanted bigint[];
  next_versions bigint[];
  bad record;
  last_checked bigint;
BEGIN
  SELECT array_agg(coalesce(a.is_stored, false) ORDER BY u.n) INTO stored
  FROM unnest(streams, versions, types, data, metadata, message_ids) WITH ORDINALITY
    AS u (stream, version, type, data, metadata, message_id, n)
  LEFT JOIN LATERAL (
    SELECT
      m.version = u.version
        AND m.type = u.type COLLATE "C"
        AND m.data = u.data
        AND m.metadata IS NOT DISTINCT FROM u.metadata
        AND m.stream_id = (
          SELECT s.stream_id FROM streams AS s WHERE s.stream = u.stream COLLATE "C"
        ) AS is_stored
    FROM messages AS m
    WHERE m.message_id = u.message_id
    LIMIT 1
  ) AS a ON true;

  -- From here on the arrays hold the others only.
  SELECT
    coalesce(array_agg(g.n ORDER BY g.n), '{}'),
    array_agg(g.nth + coalesce(greatest(p.version, g.reached_version), bigint '0') ORDER BY g.n),
    array_agg(g.stream ORDER BY g.n), array_agg(g.version ORDER BY g.n),
    array_agg(g.message_id ORDER BY g.n)
  INTO wanted, next_versions, streams, versions, message_ids
  FROM (
    SELECT
      u.n, u.stream, u.version, u.message_id, u.reached_version,
      row_number() OVER (PARTITION BY u.stream COLLATE "C" ORDER BY u.n) AS nth
    FROM unnest(streams, versions, message_ids, reached_versions, stored) WITH ORDINALITY
      AS u (stream, version, message_id, reached_version, is_stored, n)
    WHERE NOT u.is_stored
  ) AS g
  LEFT JOIN LATERAL _import_version(g.stream) AS p ON true;

  SELECT g.n, g.place, g.stream, g.version, g.next_version - 1 AS at_version INTO bad
  FROM unnest(wanted, streams, versions, next_versions) WITH ORDINALITY
    AS g (place, stream, version, next_version, n)
  WHERE g.version <> g.next_version
  ORDER BY g.n
  LIMIT 1;

  -- That of the bad one, too: its id tells more, if it is in use.
  last_checked := coalesce(bad.n, cardinality(wanted)::bigint);
  PERFORM _refuse_message_ids(
    message_ids[:last_checked], streams[:last_checked], versions[:last_checked],
    wanted[:last_checked]
  );
  IF bad.n IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS001',
      MESSAGE = format(
        'stream %s is at version %s, a message of version %s does not continue it',
        bad.stream, bad.at_version, bad.version
      ),
      DETAIL = json_build_object(
        'stream', bad.stream, 'expected_version', bad.version - 1,
        'actual_version', bad.at_version, 'index', bad.place - 1
      )::text,
      HINT = 'Import the messages of a stream in order, into a stream that has exactly those '
        'before them. Nothing of this batch was stored.';
  END IF;
  RETURN wanted;
END
$$;

COMMENT ON FUNCTION _import_rest(text[], bigint[], text[], jsonb[], jsonb[], uuid[], bigint[]) IS
$$Internal: return the places, from 1, of the messages of an import that are not stored yet. Raises
MS001 or MS002 for the first that does not continue its stream, or whose id is in use.
reached_versions has the version that earlier batches would bring each message's stream to; NULL
where the store knows.$$;

-- functions/transfer/_import_version.sql
CREATE OR REPLACE FUNCTION _import_version(
  stream text
)
RETURNS TABLE (
  stream_id bigint,
  category_key bigint,
  version bigint
)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    s.stream_id,
    s.category_key,
    greatest(
      s.floor,
      (
        SELECT m.version
        FROM messages AS m
        WHERE m.stream_id = s.stream_id
        ORDER BY m.version DESC
        LIMIT 1
      )
    )
  FROM streams AS s
  WHERE s.stream = _import_version.stream COLLATE "C"
  LIMIT 1;
END;

COMMENT ON FUNCTION _import_version(text) IS
$$Internal: a stream, if it exists, and the version it is at: that of its last message, or its
floor. Inlined into its callers.$$;

-- functions/transfer/_range_of_stream.sql
CREATE OR REPLACE FUNCTION _range_of_stream(
  stream text,
  after_position bigint,
  up_to_position bigint,
  max_count bigint
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    m.message_id, _range_of_stream.stream, m.version, m.global_position, m.type, m.data, m.metadata,
    m.added_at
  FROM messages AS m
  WHERE m.stream_id = (
      SELECT s.stream_id FROM streams AS s WHERE s.stream = _range_of_stream.stream COLLATE "C"
    )
    -- Where the page before ended: its last message is at after_position.
    AND m.version > coalesce(
      (
        SELECT b.version
        FROM messages AS b
        JOIN streams AS t USING (stream_id)
        WHERE b.global_position = _range_of_stream.after_position
          AND t.stream = _range_of_stream.stream COLLATE "C"
      ),
      0
    )
    AND m.global_position > _range_of_stream.after_position
    AND m.global_position <= _range_of_stream.up_to_position
  ORDER BY m.version
  LIMIT _range_of_stream.max_count;
END;

COMMENT ON FUNCTION _range_of_stream(text, bigint, bigint, bigint) IS
$$Internal: messages of a stream between two positions, in order. Inlined into its callers, hence
without settings of its own.$$;

-- functions/transfer/check_floors.sql
CREATE OR REPLACE FUNCTION check_floors(
  streams text[],
  floors bigint[],
  reached_versions bigint[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('check_floors');
  PERFORM _refuse_sequences();
  PERFORM _refuse_floors(streams, floors, reached_versions);
END
$$;

COMMENT ON FUNCTION check_floors(text[], bigint[], bigint[]) IS
$$Raise what import_floors would raise for these floors, and write nothing. reached_versions, as in
check_messages.$$;

-- functions/transfer/check_messages.sql
CREATE OR REPLACE FUNCTION check_messages(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  added_at timestamptz[],
  reached_versions bigint[] DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  wanted bigint[];
BEGIN
  PERFORM _refuse_stranger('check_messages');
  PERFORM _refuse_import(streams, versions, types, data, metadata, message_ids, added_at, NULL);
  IF cardinality(reached_versions) <> cardinality(streams) THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;
  PERFORM _refuse_sequences();
  wanted := _import_rest(
    streams, versions, types, data, metadata, message_ids, reached_versions
  );
  RETURN (cardinality(streams) - cardinality(wanted))::bigint;
END
$$;

COMMENT ON FUNCTION check_messages(
  text[], bigint[], text[], jsonb[], jsonb[], uuid[], timestamptz[], bigint[]
) IS
$$Raise what import_messages would raise for these messages with new positions; return how many are
stored already. It writes nothing, and no writer waits for it. To check several batches, pass as
reached_versions the version that the batches before bring each message's stream to, one element a
message; NULL, or a version below that of the store: the stream is as it is stored. An id that two
batches use is not found.$$;

-- functions/transfer/export_floors.sql
CREATE OR REPLACE FUNCTION export_floors(
  category text DEFAULT NULL,
  stream text DEFAULT NULL
)
RETURNS TABLE (
  line text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('export_floors');
  RETURN QUERY
  SELECT '{"stream":' || to_json(s.stream)::text || ',"floor":' || s.floor || '}'
  FROM streams AS s
  WHERE s.floor > 0
    AND (export_floors.category IS NULL OR s.category = export_floors.category COLLATE "C")
    AND (export_floors.stream IS NULL OR s.stream = export_floors.stream COLLATE "C")
  ORDER BY s.stream_id;
END
$$;

COMMENT ON FUNCTION export_floors(text, text) IS
$$The streams that were cut off, as JSON objects {"stream", "floor"}: of everything, of a category
or of a stream. Their messages begin at version floor plus 1.$$;

-- functions/transfer/export_messages.sql
CREATE OR REPLACE FUNCTION export_messages(
  after_position bigint,
  up_to_position bigint,
  max_count bigint DEFAULT 1000,
  category text DEFAULT NULL,
  stream text DEFAULT NULL
)
RETURNS TABLE (
  global_position bigint,
  line text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('export_messages');
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (up_to_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('up_to_position', 'must be 0 or more', to_jsonb(up_to_position));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;

  RETURN QUERY
  SELECT
    r.global_position,
    '{"stream":' || to_json(r.stream)::text
    || ',"version":' || r.version
    || ',"global_position":' || r.global_position
    || ',"message_id":"' || r.message_id
    || '","added_at":' || to_json(r.added_at)::text
    || ',"type":' || to_json(r.type)::text
    || ',"data":' || r.data::text
    || coalesce(',"metadata":' || r.metadata::text, '') || '}'
  FROM (
    -- Of these three, two are empty.
    SELECT
      a.message_id, a.stream, a.version, a.global_position, a.type, a.data, a.metadata, a.added_at
    FROM _range_of_all(after_position, up_to_position, max_count, NULL, NULL, NULL, NULL, 'stream')
      AS a
    WHERE export_messages.category IS NULL AND export_messages.stream IS NULL
    UNION ALL
    SELECT
      c.message_id, c.stream, c.version, c.global_position, c.type, c.data, c.metadata, c.added_at
    FROM _range_of_category(
      export_messages.category, after_position, up_to_position, max_count, NULL, NULL, NULL, NULL,
      'stream'
    ) AS c
    WHERE export_messages.category IS NOT NULL AND export_messages.stream IS NULL
    UNION ALL
    SELECT
      s.message_id, s.stream, s.version, s.global_position, s.type, s.data, s.metadata, s.added_at
    FROM _range_of_stream(export_messages.stream, after_position, up_to_position, max_count) AS s
    WHERE export_messages.stream IS NOT NULL
  ) AS r;
END
$$;

COMMENT ON FUNCTION export_messages(bigint, bigint, bigint, text, text) IS
$$Messages as JSON objects, in global order: of everything, of a category or of a stream, at most
max_count, after after_position and up to up_to_position. {"stream", "version", "global_position",
"message_id", "added_at", "type", "data", "metadata"?}, with payloads exactly as they are stored.
Read safe_position() first, as a statement of its own, for up_to_position; then begin a transaction,
of REPEATABLE READ if all pages are to be of one moment. Raises 22023 for a bad argument.$$;

-- functions/transfer/import_floors.sql
CREATE OR REPLACE FUNCTION import_floors(
  streams text[],
  floors bigint[]
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  changed bigint;
BEGIN
  PERFORM _refuse_stranger('import_floors');
  -- As in import_messages: no writer looks at the version of these streams meanwhile.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), k.key)
  FROM (
    SELECT DISTINCT hashtext(u.stream COLLATE "C") AS key
    FROM unnest(streams) AS u (stream)
    ORDER BY key
  ) AS k;

  PERFORM _refuse_sequences();
  PERFORM _refuse_floors(streams, floors, NULL);

  INSERT INTO streams AS s (stream_id, category_key, stream, category, floor)
  SELECT
    nextval('stream_id_seq'), _category_key(category(g.stream)), g.stream, category(g.stream),
    max(g.floor)
  FROM unnest(streams, floors) AS g (stream, floor)
  WHERE NOT EXISTS (SELECT FROM _import_version(g.stream) AS p WHERE p.version >= 1)
  GROUP BY g.stream
  ON CONFLICT ON CONSTRAINT streams_stream_key DO UPDATE SET floor = excluded.floor;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END
$$;

COMMENT ON FUNCTION import_floors(text[], bigint[]) IS
$$Bring in that streams of another store were cut off: each floor is the highest version of its
stream that is gone. The next version of a stream that is empty here is then its floor plus 1; a
stream that is at its floor or beyond stays as it is. Before import_messages. Answers how many
streams got a floor. Raises 22023 for a bad argument, MS001 for a stream that ends below its floor;
DETAIL has its index, from 0.$$;

-- functions/transfer/import_messages.sql
CREATE OR REPLACE FUNCTION import_messages(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  added_at timestamptz[],
  global_positions bigint[] DEFAULT NULL,
  OUT imported bigint,
  OUT skipped bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  stream_ids bigint[];
  category_keys bigint[];
  misplaced bigint;
  wanted bigint[];  -- NULL: all
  last_position bigint;
  first_position bigint;
  highest_position bigint;
BEGIN
  PERFORM _refuse_stranger('import_messages');
  PERFORM _refuse_import(
    streams, versions, types, data, metadata, message_ids, added_at, global_positions
  );

  IF global_positions IS NULL THEN
    -- The locks of all streams, as every writer takes them: without them a stream could change
    -- between the checks below and the write. In the order of their keys, so that two imports do
    -- not wait for one another.
    PERFORM pg_advisory_xact_lock(_stream_lock_class(), k.key)
    FROM (
      SELECT DISTINCT hashtext(u.stream COLLATE "C") AS key
      FROM unnest(streams) AS u (stream)
      ORDER BY key
    ) AS k;
  ELSE
    -- Nobody else may draw a position between the look at the last one and its change; an INSERT
    -- takes its lock on the table before it draws one. This keeps all writers out, so it stands for
    -- the locks of the streams. In the order in which a writer comes to the tables.
    LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE streams IN SHARE ROW EXCLUSIVE MODE;
  END IF;
  -- A position in a gap before stored messages would pass for a free one.
  PERFORM _refuse_sequences();
  PERFORM _announce_write();

  SELECT p.stream_ids, p.category_keys, p.misplaced INTO stream_ids, category_keys, misplaced
  FROM _import_places(streams, versions) AS p;

  skipped := bigint '0';
  IF misplaced > 0 THEN
    -- Part of an import that was interrupted, or refused.
    wanted := _import_rest(streams, versions, types, data, metadata, message_ids, NULL);
    skipped := (cardinality(streams) - cardinality(wanted))::bigint;
    imported := bigint '0';
    IF wanted = '{}' THEN
      -- As write_arrays: a transaction that has a mark has an id.
      PERFORM pg_current_xact_id();
      RETURN;
    END IF;
    SELECT
      array_agg(m.stream ORDER BY m.n), array_agg(m.version ORDER BY m.n),
      array_agg(m.type ORDER BY m.n), array_agg(m.data ORDER BY m.n),
      array_agg(m.metadata ORDER BY m.n), array_agg(m.message_id ORDER BY m.n),
      array_agg(m.added_at ORDER BY m.n),
      CASE
        WHEN import_messages.global_positions IS NOT NULL
          THEN array_agg(m.global_position ORDER BY m.n)
      END
    INTO
      streams, versions, types, data, metadata, message_ids, added_at, global_positions
    FROM unnest(wanted) AS w (n)
    JOIN unnest(
      streams, versions, types, data, metadata, message_ids, added_at, global_positions
    ) WITH ORDINALITY AS m (
      stream, version, type, data, metadata, message_id, added_at, global_position, n
    ) USING (n);
    SELECT p.stream_ids, p.category_keys INTO stream_ids, category_keys
    FROM _import_places(streams, versions) AS p;
  END IF;

  IF global_positions IS NOT NULL THEN
    last_position := _drawn_position();
    -- Not by index: an array may begin at another one than 1.
    SELECT min(u.position), max(u.position) INTO first_position, highest_position
    FROM unnest(global_positions) AS u (position);
    IF first_position <= last_position THEN
      PERFORM _refuse_argument(
        'global_positions',
        format(
          'must be above the store''s last position, %s, not %s', last_position, first_position
        ),
        jsonb_build_object(
          'index', coalesce(wanted[1], 1) - 1, 'global_position', first_position,
          'last_position', last_position
        )
      );
    ELSIF highest_position >= 4611686018427387904 THEN
      -- 2^62: the sequence continues after it, and a store whose sequence is at its end takes no
      -- more messages.
      PERFORM _refuse_argument(
        'global_positions',
        format('must be less than 4611686018427387904, not %s', highest_position),
        -- The last one: they rise.
        jsonb_build_object(
          'index', coalesce(wanted[cardinality(wanted)], cardinality(streams)) - 1,
          'global_position', highest_position
        )
      );
    END IF;
  END IF;

  -- Not ON CONFLICT: that looks into every index twice.
  BEGIN
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    SELECT
      coalesce(w.global_position, nextval('global_position_seq')), w.stream_id, w.version,
      w.category_key, w.added_at, w.message_id, w.type, w.data, w.metadata
    FROM unnest(
      global_positions, stream_ids, versions, category_keys, added_at, message_ids, types, data,
      metadata
    ) AS w (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    );
  EXCEPTION WHEN unique_violation THEN
    PERFORM _refuse_message_ids(message_ids, streams, versions, wanted);
    RAISE EXCEPTION USING
      ERRCODE = 'serialization_failure',
      MESSAGE = 'the transaction''s snapshot is older than what is stored',
      HINT = 'Try again, under READ COMMITTED.';
  END;
  imported := cardinality(streams)::bigint;

  IF global_positions IS NOT NULL THEN
    -- Last: a sequence does not go back if something fails after it.
    PERFORM setval('global_position_seq', highest_position);
  END IF;
END
$$;

COMMENT ON FUNCTION import_messages(
  text[], bigint[], text[], jsonb[], jsonb[], uuid[], timestamptz[], bigint[]
) IS
$$Bring in messages of another store, of many streams at once, all or nothing: with their versions,
ids and times, in the order given. The arrays have the same length and hold one element a message;
metadata and its elements may be NULL. The versions must continue the streams. With
global_positions, which rise and are all above the store's last position, the messages keep them:
then other writers wait until the transaction ends, and one that has looked at the same stream
before gets 40001. Without, they get new ones, and the streams are locked until the transaction
ends, with one lock each: not more than some thousand streams at a time. A message that is stored
already, with the same id, content, stream and version, is skipped: an import that was interrupted
can be repeated. Answers how many were imported and how many skipped. Raises 22023 for a bad
message, MS001 if a version does not continue its stream, MS002 if an id is used by another
message; DETAIL has its index, from 0. If a transaction that kept positions is rolled back after the
call, those positions are lost: the same messages then need new ones.$$;

-- functions/transfer/import_times.sql
CREATE OR REPLACE FUNCTION import_times(
  added_at text[]
)
RETURNS timestamptz[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  times timestamptz[];
BEGIN
  PERFORM _refuse_stranger('import_times');

  -- A text without an offset, or such as today, is another time in another session.
  SELECT u.n - 1 AS index, left(u.moment, 50) AS given INTO bad
  FROM unnest(added_at) WITH ORDINALITY AS u (moment, n)
  WHERE (
    u.moment ~ (
      '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?'
      '(Z|[+-][0-9]{2}(:?[0-9]{2}(:?[0-9]{2})?)?)$'
    )
  ) IS NOT TRUE
  ORDER BY u.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      'added_at',
      format(
        'must be a time with its offset, such as 2026-01-02T03:04:05.678901Z, not %L', bad.given
      ),
      jsonb_build_object('index', bad.index)
    );
  END IF;
  times := added_at::timestamptz[];
  SELECT u.n - 1 AS index, u.moment INTO bad
  FROM unnest(times) WITH ORDINALITY AS u (moment, n)
  WHERE NOT _time_fits(u.moment)
  ORDER BY u.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      'added_at', 'must be between 0001-01-02 and 9999-12-30, in UTC',
      jsonb_build_object('index', bad.index, 'added_at', bad.moment)
    );
  END IF;
  RETURN times;
END
$$;

COMMENT ON FUNCTION import_times(text[]) IS
$$Read the times of messages for import_messages: absolute ones, in ISO 8601 with an offset or Z,
between 0001-01-02 and 9999-12-30 in UTC. Every client can read them in every time zone. Other forms
that PostgreSQL takes are refused: now, infinity, 44-03-15 BC, a time without an offset. Raises
22023 for the first refused one; DETAIL has its index, from 0.$$;

-- functions/verify/_verify_indexes.sql
CREATE OR REPLACE FUNCTION _verify_indexes()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- Without one of them this would look at each row for each row. Another check reports that it is
  -- missing.
  IF 6 > (
    SELECT count(*)
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid IN ('messages'::regclass, 'streams'::regclass)
      AND i.indisvalid
      AND c.relname IN (
        'messages_global_position_pkey', 'messages_message_id_key',
        'messages_stream_id_version_key', 'messages_category_key_global_position_idx',
        'streams_stream_id_pkey', 'streams_stream_key'
      )
  ) THEN
    RETURN QUERY VALUES
      (text 'indexes find every message', bigint '0', bigint '0', NULL::text),
      ('indexes find every stream', 0, 0, NULL);
    RETURN;
  END IF;

  -- Rows come from the table itself, in the order of their place; LIMIT makes each of these one
  -- look-up in an index.
  RETURN QUERY
  SELECT
    text 'indexes find every message', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('position %s', g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.global_position,
      (
        m.ctid = p.ctid AND m.ctid = i.ctid AND m.ctid = v.ctid AND m.ctid = c.ctid
      ) IS NOT TRUE AS wrong
    FROM messages AS m
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a WHERE a.global_position = m.global_position LIMIT 1
    ) AS p ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a WHERE a.message_id = m.message_id LIMIT 1
    ) AS i ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a
      WHERE a.stream_id = m.stream_id AND a.version = m.version
      LIMIT 1
    ) AS v ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a
      WHERE (a.category_key, a.global_position) >= (m.category_key, m.global_position)
      ORDER BY a.category_key, a.global_position
      LIMIT 1
    ) AS c ON true
    WHERE m.ctid >= '(0,0)'
  ) AS g;

  RETURN QUERY
  SELECT
    text 'indexes find every stream', count(*), count(*) FILTER (WHERE g.wrong),
    min(g.stream) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.stream, (s.ctid = n.ctid AND s.ctid = i.ctid) IS NOT TRUE AS wrong
    FROM streams AS s
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM streams AS a WHERE a.stream = s.stream LIMIT 1
    ) AS n ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM streams AS a WHERE a.stream_id = s.stream_id LIMIT 1
    ) AS i ON true
    WHERE s.ctid >= '(0,0)'
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_indexes() IS
$$Internal: the checks of verify_store that read the indexes.$$;

-- functions/verify/_verify_messages.sql
CREATE OR REPLACE FUNCTION _verify_messages()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- The rows themselves are read, not the indexes, which may be what is wrong. One statement a
  -- check: each sees one moment.
  RETURN QUERY
  SELECT
    text 'versions have no gaps', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('stream %s: version %s after %s', g.stream, g.version, g.before))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.version,
      s.stream,
      coalesce(lag(m.version) OVER w, s.floor) AS before,
      m.version <> coalesce(lag(m.version) OVER w, s.floor) + 1 AS wrong
    FROM messages AS m
    JOIN streams AS s USING (stream_id)
    WINDOW w AS (PARTITION BY m.stream_id ORDER BY m.version)
  ) AS g;

  RETURN QUERY
  SELECT
    text 'positions rise with versions', count(*), count(*) FILTER (WHERE g.wrong),
    min(
      format('stream_id %s: version %s at position %s', g.stream_id, g.version, g.global_position)
    ) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.stream_id, m.version, m.global_position,
      m.global_position <= lag(m.global_position, 1, 0::bigint)
        OVER (PARTITION BY m.stream_id ORDER BY m.version) AS wrong
    FROM messages AS m
  ) AS g;

  RETURN QUERY
  SELECT
    text 'messages have a stream', count(*), count(*) FILTER (WHERE s.stream_id IS NULL),
    min(format('position %s: stream_id %s', m.global_position, m.stream_id))
      FILTER (WHERE s.stream_id IS NULL)
  FROM messages AS m
  LEFT JOIN streams AS s USING (stream_id);

  RETURN QUERY
  SELECT
    text 'messages have the category of their stream', count(*),
    count(*) FILTER (WHERE m.category_key <> s.category_key),
    min(format('position %s: stream %s', m.global_position, s.stream))
      FILTER (WHERE m.category_key <> s.category_key)
  FROM messages AS m
  JOIN streams AS s USING (stream_id);

  RETURN QUERY
  SELECT
    text 'messages are well formed', count(*), count(*) FILTER (WHERE m.wrong),
    min(format('position %s', m.global_position)) FILTER (WHERE m.wrong)
  FROM (
    SELECT
      a.global_position,
      (
        a.global_position >= 1
        AND a.version >= 1
        AND octet_length(a.type) BETWEEN 1 AND 255
        AND a.data IS NOT NULL
        AND a.message_id IS NOT NULL
        AND _time_fits(a.added_at)
        AND (a.metadata IS NULL OR jsonb_typeof(a.metadata) = 'object')
      ) IS NOT TRUE AS wrong
    FROM messages AS a
  ) AS m;

  RETURN QUERY
  SELECT
    text 'message ids are unique', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1), min(g.message_id::text) FILTER (WHERE g.rows > 1)
  FROM (SELECT m.message_id, count(*) AS rows FROM messages AS m GROUP BY m.message_id) AS g;

  RETURN QUERY
  SELECT
    text 'versions are unique in their stream', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1),
    min(format('stream_id %s: version %s', g.stream_id, g.version)) FILTER (WHERE g.rows > 1)
  FROM (
    SELECT m.stream_id, m.version, count(*) AS rows FROM messages AS m
    GROUP BY m.stream_id, m.version
  ) AS g;

  RETURN QUERY
  SELECT
    text 'global positions are unique', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1), min(g.global_position::text) FILTER (WHERE g.rows > 1)
  FROM (
    SELECT m.global_position, count(*) AS rows FROM messages AS m GROUP BY m.global_position
  ) AS g;

  -- The sequence is read with each row, after the statement's snapshot: it only grows.
  RETURN QUERY
  SELECT
    text 'global positions are not above the sequence', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('position %s', g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.global_position,
      m.global_position > _drawn_position() AS wrong
    FROM messages AS m
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_messages() IS
$$Internal: the checks of verify_store that read messages.$$;

-- functions/verify/_verify_objects.sql
CREATE OR REPLACE FUNCTION _verify_objects()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  store oid := (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = current_schema());
BEGIN
  RETURN QUERY
  SELECT
    text 'unique indexes are there and valid', count(*), count(*) FILTER (WHERE x.wrong),
    min(x.name) FILTER (WHERE x.wrong)
  FROM (
    SELECT
      e.name,
      NOT EXISTS (
        SELECT FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = store AND c.relname = e.name
          AND i.indisunique = e.is_unique AND i.indisvalid AND i.indisready AND i.indislive
          AND i.indpred IS NULL
          AND ARRAY(
            SELECT a.attname::text
            FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            ORDER BY k.place
          ) = e.columns
      ) AS wrong
    FROM (
      VALUES
        ('streams_stream_id_pkey', true, '{stream_id}'::text[]),
        ('streams_stream_key', true, '{stream}'),
        ('messages_global_position_pkey', true, '{global_position}'),
        ('messages_stream_id_version_key', true, '{stream_id,version}'),
        ('messages_message_id_key', true, '{message_id}'),
        ('messages_category_key_global_position_idx', false, '{category_key,global_position}'),
        ('subscriptions_subscription_id_pkey', true, '{subscription_id}'),
        ('subscriptions_subscription_key', true, '{subscription}'),
        (
          'subscription_partitions_subscription_id_partition_pkey', true,
          '{subscription_id,partition}'
        ),
        ('subscription_sweeps_subscription_id_pkey', true, '{subscription_id}'),
        ('subscription_heads_subscription_id_partition_pkey', true, '{subscription_id,partition}'),
        ('subscription_heads_subscription_id_head_idx', false, '{subscription_id,head}'),
        (
          'subscription_work_subscription_id_partition_last_position_pkey', true,
          '{subscription_id,partition,last_position}'
        ),
        ('audit_audit_id_pkey', true, '{audit_id}'),
        ('retention_policies_category_pkey', true, '{category}'),
        ('grants_role_kind_pkey', true, '{role,kind}'),
        ('scheduled_messages_message_id_pkey', true, '{message_id}'),
        (
          'scheduled_messages_due_at_scheduled_position_idx', false, '{due_at,scheduled_position}'
        ),
        (
          'scheduled_messages_stream_due_at_scheduled_position_idx', false,
          '{stream,due_at,scheduled_position}'
        ),
        (
          'snapshots_stream_id_snapshot_code_version_pkey', true,
          '{stream_id,snapshot,code_version}'
        ),
        ('stream_changes_stream_id_pkey', true, '{stream_id}'),
        (
          'parked_messages_subscription_id_global_position_pkey', true,
          '{subscription_id,global_position}'
        )
    ) AS e (name, is_unique, columns)
  ) AS x;

  RETURN QUERY
  SELECT
    text 'tables have no triggers, rules or row security', count(*),
    count(*) FILTER (WHERE t.wrong), min(t.name) FILTER (WHERE t.wrong)
  FROM (
    SELECT
      c.relname::text AS name,
      c.relrowsecurity
      OR EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
      OR EXISTS (
        SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'
      ) AS wrong
    FROM pg_class AS c
    WHERE c.relnamespace = store AND c.relkind IN ('r', 'p', 'v')
  ) AS t;

  RETURN QUERY
  SELECT
    text 'everything belongs to the owner of the store', count(*),
    count(*) FILTER (WHERE o.owner <> n.nspowner), min(o.name) FILTER (WHERE o.owner <> n.nspowner)
  FROM pg_namespace AS n
  CROSS JOIN LATERAL (
    SELECT c.relname::text AS name, c.relowner AS owner
    FROM pg_class AS c WHERE c.relnamespace = n.oid
    UNION ALL
    SELECT p.proname, p.proowner FROM pg_proc AS p WHERE p.pronamespace = n.oid
    UNION ALL
    SELECT t.typname, t.typowner FROM pg_type AS t WHERE t.typnamespace = n.oid
  ) AS o
  WHERE n.oid = store;

  RETURN QUERY
  SELECT
    text 'nothing is open to everybody', count(*), count(*) FILTER (WHERE o.open),
    min(o.name) FILTER (WHERE o.open)
  FROM (
    SELECT
      r.name, EXISTS (SELECT FROM aclexplode(r.rights) AS a WHERE a.grantee = 0) AS open
    FROM _list_rights() AS r
  ) AS o;

  RETURN QUERY
  SELECT
    text 'nobody but the owner may write to tables', count(*), count(*) FILTER (WHERE c.wrong),
    min(c.name) FILTER (WHERE c.wrong)
  FROM (
    SELECT
      r.relname::text AS name,
      EXISTS (
        SELECT FROM aclexplode(r.relacl) AS a
        WHERE a.grantee <> r.relowner AND a.privilege_type <> 'SELECT'
      ) OR EXISTS (
        SELECT FROM pg_attribute AS t
        CROSS JOIN aclexplode(t.attacl) AS a
        WHERE t.attrelid = r.oid AND a.grantee <> r.relowner AND a.privilege_type <> 'SELECT'
      ) AS wrong
    FROM pg_class AS r
    WHERE r.relnamespace = store AND r.relkind IN ('r', 'p', 'v', 'S')
  ) AS c;

  RETURN QUERY
  SELECT
    text 'what is for the owner is granted to nobody', count(*), count(*) FILTER (WHERE o.wrong),
    min(o.name) FILTER (WHERE o.wrong)
  FROM (
    SELECT
      n.nspname::text AS name,
      EXISTS (
        SELECT FROM aclexplode(n.nspacl) AS a
        WHERE a.grantee <> n.nspowner AND a.privilege_type = 'CREATE'
      ) AS wrong
    FROM pg_namespace AS n WHERE n.oid = store
    UNION ALL
    SELECT
      p.proname, EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee <> p.proowner)
    FROM pg_proc AS p
    WHERE p.pronamespace = store AND p.proname <> ALL (_granted_names('admin'))
  ) AS o;

  RETURN QUERY
  SELECT
    text 'roles have what was granted to them', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s: %s', g.role, g.kind)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      h.role, h.kind,
      NOT has_schema_privilege(r.oid, store, 'USAGE')
      OR EXISTS (
        SELECT FROM pg_proc AS p
        WHERE p.pronamespace = store AND p.proname = ANY (_granted_names(h.kind))
          AND NOT has_function_privilege(r.oid, p.oid, 'EXECUTE')
      )
      OR EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.relnamespace = store AND c.relname = ANY (_granted_names(h.kind))
          AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')
      ) AS wrong
    FROM grants AS h
    JOIN pg_roles AS r ON r.rolname = h.role
    WHERE _holds_kind(r.oid, h.kind)
  ) AS g;

  -- Rights on the schema, on functions and to read views; the other ones are in the checks above.
  RETURN QUERY
  SELECT
    text 'roles have nothing but what was granted to them', count(*),
    count(*) FILTER (WHERE o.wrong),
    min(format('%s: %s', pg_get_userbyid(o.grantee), o.name)) FILTER (WHERE o.wrong)
  FROM (
    SELECT
      r.name, a.grantee,
      a.is_grantable OR NOT EXISTS (
        SELECT
        FROM grants AS g
        WHERE g.role = pg_get_userbyid(a.grantee)
          AND (r.kind = 'schema' OR r.name = ANY (_granted_names(g.kind)))
      ) AS wrong
    FROM _list_rights() AS r
    CROSS JOIN aclexplode(r.rights) AS a
    WHERE a.grantee NOT IN (0, r.owner)
  ) AS o;

  RETURN QUERY
  SELECT
    text 'writers are restricted as granted', bigint '1',
    CASE WHEN _writers_restricted() = r.restricted THEN bigint '0' ELSE 1 END,
    CASE WHEN _writers_restricted() <> r.restricted THEN text 'function _writers_restricted' END
  FROM (
    SELECT EXISTS (
      SELECT FROM grants AS g WHERE g.kind = 'write' AND g.categories IS NOT NULL
    ) AS restricted
  ) AS r;

  RETURN QUERY
  SELECT
    text 'sequences are at what they gave', count(*),
    count(*) FILTER (WHERE l.last_value < l.highest),
    string_agg(
      format('%s is at %s, %s is stored', l.sequence, l.last_value, l.highest), '; '
      ORDER BY l.sequence
    ) FILTER (WHERE l.last_value < l.highest)
  FROM list_sequences() AS l;

  RETURN QUERY
  SELECT
    text 'functions are pinned to the store', count(*), count(*) FILTER (WHERE f.wrong),
    min(f.name) FILTER (WHERE f.wrong)
  FROM (
    SELECT
      p.proname::text AS name,
      (p.prosecdef OR l.lanname = 'plpgsql') AND NOT EXISTS (
        SELECT FROM unnest(p.proconfig) AS s (setting)
        -- Quoted or not: that depends on the keywords of the server that wrote it.
        WHERE s.setting IN (
          'search_path=' || quote_ident(current_schema()) || ', pg_temp',
          'search_path="' || replace(current_schema(), '"', '""') || '", pg_temp',
          'search_path=' || substring(current_schema() FROM '^[a-z_][a-z0-9_]*$') || ', pg_temp'
        )
      ) AS wrong
    FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.pronamespace = store
  ) AS f;
END
$$;

COMMENT ON FUNCTION _verify_objects() IS
$$Internal: the checks of verify_store that read the catalog.$$;

-- functions/verify/_verify_streams.sql
CREATE OR REPLACE FUNCTION _verify_streams()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    text 'streams have the category of their name', count(*), count(*) FILTER (WHERE g.wrong),
    min(g.stream) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.stream,
      (s.category, s.category_key)
        IS DISTINCT FROM (category(s.stream), _category_key(category(s.stream))) AS wrong
    FROM streams AS s
  ) AS g;

  RETURN QUERY
  SELECT
    text 'streams are well formed', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('stream_id %s', g.stream_id)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.stream_id,
      (
        octet_length(s.stream) BETWEEN 1 AND 1000
        AND s.floor >= 0
        AND s.stream_id BETWEEN 1 AND pg_sequence_last_value('stream_id_seq')
      ) IS NOT TRUE AS wrong
    FROM streams AS s
  ) AS g;

  -- A missing end of a stream looks like one that was never written.
  RETURN QUERY
  SELECT
    text 'streams have messages or were cut off', count(*),
    count(*) FILTER (WHERE s.floor = 0 AND m.stream_id IS NULL),
    min(s.stream) FILTER (WHERE s.floor = 0 AND m.stream_id IS NULL)
  FROM streams AS s
  LEFT JOIN (SELECT DISTINCT a.stream_id FROM messages AS a) AS m USING (stream_id);

  RETURN QUERY
  SELECT
    text 'names and ids of streams are unique', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1), min(g.name) FILTER (WHERE g.rows > 1)
  FROM (
    SELECT s.stream AS name, count(*) AS rows FROM streams AS s GROUP BY s.stream
    UNION ALL
    SELECT format('stream_id %s', s.stream_id), count(*) FROM streams AS s GROUP BY s.stream_id
  ) AS g;

  RETURN QUERY
  SELECT
    text 'snapshots are of versions of their streams', count(*),
    count(*) FILTER (WHERE g.wrong),
    min(format('stream_id %s: %s at version %s', g.stream_id, g.snapshot, g.version))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      n.stream_id, n.snapshot, n.version,
      (n.version BETWEEN s.floor AND coalesce(m.version, s.floor)) IS NOT TRUE AS wrong
    FROM snapshots AS n
    LEFT JOIN streams AS s USING (stream_id)
    LEFT JOIN (
      SELECT a.stream_id, max(a.version) AS version FROM messages AS a GROUP BY a.stream_id
    ) AS m USING (stream_id)
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_streams() IS
$$Internal: the checks of verify_store that read streams and their snapshots.$$;

-- functions/verify/_verify_subscriptions.sql
CREATE OR REPLACE FUNCTION _verify_subscriptions()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    text 'subscriptions have all their partitions', count(*), count(*) FILTER (WHERE g.wrong),
    min(g.subscription) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription,
      (
        SELECT count(*) FROM subscription_partitions AS p
        WHERE p.subscription_id = s.subscription_id AND p.partition BETWEEN 0 AND s.partitions - 1
      ) <> s.partitions
      OR NOT EXISTS (
        SELECT FROM subscription_sweeps AS w WHERE w.subscription_id = s.subscription_id
      ) AS wrong
    FROM subscriptions AS s
  ) AS g;

  RETURN QUERY
  SELECT
    text 'checkpoints are within the store', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s, partition %s: %s', g.subscription, g.partition, g.place))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription, p.partition, p.place,
      s.subscription_id IS NULL
        OR p.place NOT BETWEEN 0 AND _drawn_position() AS wrong
    FROM (
      SELECT c.subscription_id, c.partition, c.checkpoint AS place FROM subscription_partitions AS c
      UNION ALL
      SELECT w.subscription_id, NULL, w.swept_position FROM subscription_sweeps AS w
      UNION ALL
      SELECT h.subscription_id, h.partition, h.head FROM subscription_heads AS h
      UNION ALL
      SELECT o.subscription_id, o.partition, o.swept_position
      FROM subscription_partitions AS o
      WHERE o.swept_position IS NOT NULL
    ) AS p
    LEFT JOIN subscriptions AS s USING (subscription_id)
  ) AS g;

  RETURN QUERY
  SELECT
    text 'what waits in partitions is listed', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s: position %s', g.subscription, g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription, m.global_position,
      -- Not a join: nobody has analysed what an array holds, so that one would be a nested loop.
      (p.subscription_id, p.partition, m.global_position) NOT IN (
        SELECT k.subscription_id, k.partition, u.global_position
        FROM subscription_work AS k
        CROSS JOIN LATERAL unnest(k.positions) AS u (global_position)
      )
      OR (h.head >= m.global_position) IS NOT TRUE AS wrong
    FROM subscriptions AS s
    JOIN subscription_sweeps AS w USING (subscription_id)
    CROSS JOIN LATERAL (
      SELECT
        n.global_position,
        _partition_of(n.stream_id, i.stream, n.metadata, s.partitions, s.partition_by) AS partition
      FROM messages AS n
      JOIN streams AS i USING (stream_id)
      WHERE n.global_position <= w.swept_position
        AND n.global_position > (
          SELECT min(c.checkpoint)
          FROM subscription_partitions AS c
          WHERE c.subscription_id = s.subscription_id
        )
        AND (s.categories IS NULL OR i.category = ANY (s.categories))
        AND (s.types IS NULL OR n.type = ANY (s.types))
        AND (s.stream_pattern IS NULL OR i.stream LIKE s.stream_pattern)
        AND (s.metadata IS NULL OR n.metadata @> s.metadata)
      OFFSET 0  -- first: the planner would look for the messages of each partition and stream
    ) AS m
    JOIN subscription_partitions AS p ON p.subscription_id = s.subscription_id
      AND p.partition = m.partition AND p.checkpoint < m.global_position
    LEFT JOIN subscription_heads AS h
      ON h.subscription_id = p.subscription_id AND h.partition = p.partition
    WHERE s.partitions > 1
  ) AS g;

  RETURN QUERY
  SELECT
    text 'partitions are well formed', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('subscription_id %s, partition %s', g.subscription_id, g.partition))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      p.subscription_id, p.partition,
      (
        p.partition BETWEEN 0 AND 65535
        AND p.token > 0
        AND p.attempts >= 0
        AND p.leases >= 0
        AND p.alone >= 0
        AND p.batch_size BETWEEN 0 AND 1000
        AND (p.leased_until IS NULL OR p.lease > '0')
        AND (p.failed_position >= 1 OR p.attempts = 0 AND NOT p.stopped)
        AND (p.swept_position IS NULL OR p.partition = 0)
      ) IS NOT TRUE AS wrong
    FROM subscription_partitions AS p
  ) AS g;

  -- Not that they are stored: retention and delete_stream leave what was parked.
  RETURN QUERY
  SELECT
    text 'parked messages belong to subscriptions', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s: position %s', g.subscription, g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription, k.global_position,
      s.subscription_id IS NULL
        OR k.global_position NOT BETWEEN 1 AND _drawn_position()
        AS wrong
    FROM parked_messages AS k
    LEFT JOIN subscriptions AS s USING (subscription_id)
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_subscriptions() IS
$$Internal: the checks of verify_store that read subscriptions.$$;

-- functions/verify/verify_store.sql
CREATE OR REPLACE FUNCTION verify_store()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('verify_store');
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_messages() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_streams() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_indexes() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_subscriptions() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_objects() AS v;
END
$$;

COMMENT ON FUNCTION verify_store() IS
$$Check the promises of the store against its tables: a row for each check, with how many things it
looked at, how many of them are wrong, and one example. Nothing is wrong if every count in wrong is
0. It reads all messages several times, from the tables, not from their indexes, and takes no locks
that others wait for. Whether the functions and migrations are those of a release, the command
pgstore verify compares.$$;

-- functions/write/_create_stream.sql
CREATE OR REPLACE FUNCTION _create_stream(
  stream text,
  OUT stream_id bigint,
  OUT category_key bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The table of messages before that of streams, as a transaction that has written before, and as
  -- an import that locks both.
  LOCK TABLE messages IN ROW EXCLUSIVE MODE;
  -- The caller holds the stream's lock, so nobody else creates it now. A conflict means that this
  -- transaction's snapshot is older than the stream: then this raises 40001.
  INSERT INTO streams AS s (stream_id, category_key, stream, category)
  VALUES (
    nextval('stream_id_seq'),
    _category_key(category(_create_stream.stream)),
    _create_stream.stream,
    category(_create_stream.stream)
  )
  ON CONFLICT DO NOTHING
  RETURNING s.stream_id, s.category_key INTO _create_stream.stream_id, _create_stream.category_key;
  IF stream_id IS NULL THEN
    PERFORM _refuse_sequences();
    -- An import that keeps positions locks the tables, not the streams.
    RAISE EXCEPTION USING
      ERRCODE = 'serialization_failure',
      MESSAGE = format('stream %s was imported meanwhile', stream),
      HINT = 'Try again.';
  END IF;
END
$$;

COMMENT ON FUNCTION _create_stream(text) IS
$$Internal: intern a stream that does not exist yet. The caller holds the stream's lock. Raises
40001 if the stream came into being after the transaction's snapshot, or since the caller looked;
MS007 if the id that was drawn is in use.$$;

-- functions/write/_repeated_write.sql
CREATE OR REPLACE FUNCTION _repeated_write(
  stream_id bigint,
  at_version bigint,
  expected_version bigint,
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  first_version bigint;
  matching bigint;
  other record;
BEGIN
  SELECT m.message_id, array_agg(m.n - 1 ORDER BY m.n) AS indexes
  INTO other
  FROM unnest(message_ids) WITH ORDINALITY AS m (message_id, n)
  WHERE m.message_id IS NOT NULL
  GROUP BY m.message_id
  HAVING count(*) > 1
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      'message_ids', 'must not hold an id twice',
      jsonb_build_object('message_id', other.message_id, 'indexes', other.indexes)
    );
  END IF;

  -- LIMIT keeps this one look-up by id for each message, whatever the planner thinks of the sizes.
  SELECT
    a.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = a.stream_id) AS stream,
    a.version,
    a.global_position
  INTO other
  FROM unnest(message_ids) AS w (message_id)
  CROSS JOIN LATERAL (
    SELECT m.message_id, m.stream_id, m.version, m.global_position
    FROM messages AS m
    WHERE m.message_id = w.message_id
    LIMIT 1
  ) AS a
  -- Not what this very write has stored before it met an id in use.
  WHERE a.stream_id <> _repeated_write.stream_id OR a.version <= at_version
  ORDER BY a.global_position
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  SELECT count(*), min(a.version), max(a.version), max(a.global_position)
  INTO matching, first_version, _repeated_write.version, _repeated_write.global_position
  FROM unnest(types, data, metadata, message_ids) WITH ORDINALITY
    AS w (type, data, metadata, message_id, n)
  CROSS JOIN LATERAL (
    SELECT m.stream_id, m.version, m.global_position, m.type, m.data, m.metadata
    FROM messages AS m
    WHERE m.message_id = w.message_id
    LIMIT 1
  ) AS a
  WHERE a.stream_id = _repeated_write.stream_id
    AND a.version = other.version + w.n - 1
    AND a.type = w.type COLLATE "C"
    AND a.data = w.data
    AND _same_metadata(a.metadata, w.metadata);
  IF matching <> cardinality(types) OR first_version - 1 <> expected_version THEN
    -- Do not reveal the stream to a role that may not write to it.
    IF _writers_restricted() AND NOT _may_write(_acting_role(), category(other.stream)) THEN
      RAISE EXCEPTION USING
        ERRCODE = 'MS002',
        MESSAGE = format('message id %s is already used', other.message_id),
        DETAIL = json_build_object(
          'message_id', other.message_id, 'stream', '', 'version', 0, 'global_position', 0
        )::text,
        HINT = 'A new message needs a new id. Nothing was stored.';
    END IF;
    RAISE EXCEPTION USING
      ERRCODE = 'MS002',
      MESSAGE = format(
        'message id %s is already used at version %s of stream %s',
        other.message_id, other.version, other.stream
      ),
      DETAIL = json_build_object(
        'message_id', other.message_id, 'stream', other.stream, 'version', other.version,
        'global_position', other.global_position
      )::text,
      HINT = 'To repeat a write, send the same messages with the same ids and expected version to '
        'the same stream. A new message needs a new id. Nothing was stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _repeated_write(bigint, bigint, bigint, text[], jsonb[], jsonb[], uuid[]) IS
$$Internal: the place of the last of these messages if exactly they are stored already, in this
order, at the place they are to be written to; NULLs if none of their ids is stored. Raises 22023 if
an id is there twice, MS002 if any is stored otherwise.$$;

-- functions/write/_same_metadata.sql
CREATE OR REPLACE FUNCTION _same_metadata(
  stored jsonb,
  repeated jsonb
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT _same_metadata.stored IS NOT DISTINCT FROM _same_metadata.repeated
    -- Without such a key, NULL and an empty object are not the same.
    OR coalesce(
      _same_metadata.stored || _same_metadata.repeated,
      _same_metadata.stored,
      _same_metadata.repeated
    ) ?| k.of_attempt
    AND coalesce(_same_metadata.stored - k.of_attempt, jsonb '{}')
      = coalesce(_same_metadata.repeated - k.of_attempt, jsonb '{}')
  FROM (
    VALUES (ARRAY['causation_id', 'correlation_id', 'traceparent', 'tracestate'])
  ) AS k (of_attempt);
END;

COMMENT ON FUNCTION _same_metadata(jsonb, jsonb) IS
$$Internal: tell whether the metadata of a repeated write is the stored one, apart from the keys
that clients set by themselves: causation_id, correlation_id, traceparent and tracestate. Another
attempt may have another request, batch or span around it.$$;

-- functions/write/synchronize_stream.sql
CREATE OR REPLACE FUNCTION synchronize_stream(
  stream text,
  known_ids uuid[],
  types text[],
  data jsonb[],
  metadata jsonb[] DEFAULT NULL,
  message_ids uuid[] DEFAULT NULL,
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  expected_version bigint := coalesce(cardinality(known_ids), 0)::bigint;
  other record;
BEGIN
  IF cardinality(types) > 0 THEN
    PERFORM _refuse_write(stream, expected_version, types, data, metadata, message_ids);
    -- The stream's lock, as in write_message: without it the stream could change between the
    -- comparison below and the write.
    PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C"));
  ELSIF coalesce(octet_length(stream), 0) NOT BETWEEN 1 AND 1000 THEN
    PERFORM _refuse_value('stream', 'must be a name of 1 to 1000 bytes', to_jsonb(stream));
  ELSIF coalesce(cardinality(types), 0) <> coalesce(cardinality(data), 0) THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;
  -- Before anything is compared: do not reveal the stream's content to a role that may not write to
  -- it.
  IF _writers_restricted() THEN
    PERFORM _refuse_target(stream, NULL);
  END IF;

  SELECT k.n AS version, k.message_id AS given_id, m.message_id AS stored_id INTO other
  FROM unnest(known_ids) WITH ORDINALITY AS k (message_id, n)
  CROSS JOIN LATERAL (
    SELECT a.message_id
    FROM messages AS a
    WHERE a.stream_id = (
        SELECT s.stream_id FROM streams AS s
        WHERE s.stream = synchronize_stream.stream COLLATE "C"
      )
      AND a.version = k.n
    LIMIT 1
  ) AS m
  WHERE m.message_id IS DISTINCT FROM k.message_id
  ORDER BY k.n
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS003',
      MESSAGE = format(
        'stream %s has message %s at version %s, not %s',
        stream, other.stored_id, other.version, other.given_id
      ),
      DETAIL = json_build_object(
        'stream', stream, 'version', other.version, 'message_id', other.given_id,
        'stored_message_id', other.stored_id
      )::text,
      HINT = 'The messages are not a continuation of the stored ones. Read the stream again. '
        'Nothing was stored.';
  END IF;

  SELECT l.version, l.global_position INTO version, global_position
  FROM last_message(stream) AS l;
  version := coalesce(version, stream_version(stream));
  global_position := coalesce(global_position, 0);

  -- If all of the rest is stored, it may be a repetition, which write_arrays tells.
  IF version <> expected_version AND (
    coalesce(cardinality(types), 0) = 0
    OR cardinality(types) > (
      SELECT count(*)
      FROM unnest(message_ids) AS i (message_id)
      CROSS JOIN LATERAL (
        SELECT FROM messages AS m WHERE m.message_id = i.message_id LIMIT 1
      ) AS f
    )
  ) THEN
    PERFORM _refuse_version(
      stream,
      (
        SELECT s.stream_id FROM streams AS s WHERE s.stream = synchronize_stream.stream COLLATE "C"
      ),
      version,
      expected_version
    );
  ELSIF cardinality(types) > 0 THEN
    SELECT w.version, w.global_position INTO version, global_position
    FROM write_arrays(stream, types, data, metadata, expected_version, message_ids) AS w;
  END IF;
END
$$;

COMMENT ON FUNCTION synchronize_stream(text, uuid[], text[], jsonb[], jsonb[], uuid[]) IS
$$Bring a stream up to date with a list of messages whose first ones are stored already. known_ids
are the ids of those. The arrays (as in write_arrays) hold the rest, which is written with their
number as expected version. Of messages that were cut off any id, or NULL, will do. Return the place
of the stream's last message; 0 and 0 if it stays empty, and position 0 if all of it was cut off.
Raises MS003 if the stored messages have other ids; MS001 if the stream does not end where known_ids
does; otherwise as write_arrays.$$;

-- functions/write/write_arrays.sql
CREATE OR REPLACE FUNCTION write_arrays(
  stream text,
  types text[],
  data jsonb[],
  metadata jsonb[] DEFAULT NULL,
  expected_version bigint DEFAULT NULL,
  message_ids uuid[] DEFAULT NULL,
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  target record;
  at_version bigint;
  written bigint;
  written_at timestamptz;
BEGIN
  PERFORM _refuse_write(stream, expected_version, types, data, metadata, message_ids);

  -- See write_message for the order of these steps and the purpose of each lock.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C"));
  PERFORM _announce_write();

  -- One statement, which locks both tables before its snapshot: between two, empty_store could
  -- delete the messages and raise the floor, and the version would be neither's.
  SELECT
    s.stream_id, s.category_key, coalesce(l.version, s.floor) AS version,
    _writers_restricted() OR current_setting('transaction_isolation') <> 'read committed' AS checked
  INTO target
  FROM streams AS s
  LEFT JOIN LATERAL (
    SELECT m.version
    FROM messages AS m
    WHERE m.stream_id = s.stream_id
    ORDER BY m.version DESC
    LIMIT 1
  ) AS l ON true
  WHERE s.stream = write_arrays.stream COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _refuse_target(stream, NULL);
    SELECT c.stream_id, c.category_key, bigint '0' AS version, false AS checked INTO target
    FROM _create_stream(stream) AS c;
  ELSIF target.checked THEN
    PERFORM _refuse_target(stream, target.stream_id);
  END IF;

  at_version := target.version;

  IF (expected_version <> at_version) IS NOT TRUE THEN
    written_at := clock_timestamp();
    IF cardinality(types) > 1 AND current_setting('transaction_isolation') = 'read committed' THEN
      -- The stream's lock keeps its next versions free, so only an id can be in use. That is rare:
      -- for several messages it is cheaper to go back to before them than to ask for each.
      BEGIN
        INSERT INTO messages AS m (
          global_position, stream_id, version, category_key, added_at, message_id, type, data,
          metadata
        )
        SELECT
          nextval('global_position_seq'), target.stream_id, at_version + w.n, target.category_key,
          written_at, coalesce(w.message_id, new_message_id()), w.type, w.data, w.metadata
        FROM unnest(types, data, metadata, message_ids) WITH ORDINALITY
          AS w (type, data, metadata, message_id, n);
        GET DIAGNOSTICS written = ROW_COUNT;
      EXCEPTION
        WHEN unique_violation THEN
          written := 0;
      END;
    ELSE
      INSERT INTO messages AS m (
        global_position, stream_id, version, category_key, added_at, message_id, type, data,
        metadata
      )
      SELECT
        nextval('global_position_seq'), target.stream_id, at_version + w.n, target.category_key,
        written_at, coalesce(w.message_id, new_message_id()), w.type, w.data, w.metadata
      FROM unnest(types, data, metadata, message_ids) WITH ORDINALITY
        AS w (type, data, metadata, message_id, n)
      ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS written = ROW_COUNT;
    END IF;
  END IF;

  IF written = cardinality(types) THEN
    version := at_version + written;
    global_position := currval('global_position_seq');
  ELSE
    -- Not the expected version, or an id is in use: a repetition, or refused.
    SELECT r.version, r.global_position INTO version, global_position
    FROM _repeated_write(
      target.stream_id, at_version, expected_version, types, data, metadata, message_ids
    ) AS r;
    IF global_position IS NULL THEN
      PERFORM _refuse_version(stream, target.stream_id, at_version, expected_version);
    END IF;
    -- A repetition writes nothing. Without an id each one of a transaction would take a mark, and
    -- horizon() would not look for it.
    PERFORM pg_current_xact_id();
  END IF;
END
$$;

COMMENT ON FUNCTION write_arrays(text, text[], jsonb[], jsonb[], bigint, uuid[]) IS
$$Append several messages to a stream, all or nothing, with consecutive versions; answers the last
one's version and global position. As write_messages, for drivers that send arrays: the fastest way
in. The arrays have the same length and hold one element a message; metadata and message_ids, and
any of their elements, may be NULL. Call it in FROM, and see write_message for errors.$$;

-- functions/write/write_group.sql
CREATE OR REPLACE FUNCTION write_group(
  streams text[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  expected_versions bigint[],
  message_ids uuid[]
)
RETURNS TABLE (
  message_id uuid,
  version bigint,
  global_position bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
-- For an id that another transaction has not committed yet: all messages of the group wait for it.
SET lock_timeout = '100ms'
AS $$
#variable_conflict use_column
DECLARE
  turns bigint[];
  this_turn bigint := bigint '1';
  tried bigint;
  stored bigint;
  created bigint;
  nothing boolean := true;
BEGIN
  IF cardinality(types) <> cardinality(streams)
    OR cardinality(data) <> cardinality(streams)
    OR cardinality(metadata) <> cardinality(streams)
    OR cardinality(expected_versions) <> cardinality(streams)
    OR cardinality(message_ids) <> cardinality(streams)
  THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    -- The snapshot may be too old to know the streams' versions.
    RETURN;
  END IF;

  -- Try the locks of the streams, and leave out a stream that another transaction holds: a group
  -- that waited would hold up all its messages, and two groups could deadlock. The messages of one
  -- stream come one turn after the other. One id in two messages: neither is stored.
  turns := ARRAY(
    SELECT CASE
      WHEN w.acceptable
        AND count(*) OVER (PARTITION BY w.message_id) = 1
        AND pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(w.stream COLLATE "C"))
      THEN row_number() OVER (PARTITION BY w.stream ORDER BY w.n)
    END
    FROM (
      SELECT
        u.n, u.stream, u.message_id,
        octet_length(u.stream) BETWEEN 1 AND 1000
          AND octet_length(u.type) BETWEEN 1 AND 255
          AND u.data IS NOT NULL
          AND (jsonb_typeof(u.metadata) <> 'object') IS NOT TRUE
          AND _payload_problem(u.data) IS NULL
          AND _payload_problem(u.metadata) IS NULL
          AND u.message_id IS NOT NULL AS acceptable
      FROM unnest(streams, types, data, metadata, message_ids) WITH ORDINALITY
        AS u (stream, type, data, metadata, message_id, n)
    ) AS w
    ORDER BY w.n
  );

  -- As in write_message.
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    PERFORM _announce_write();
  ELSIF NOT _enter_flight() THEN
    PERFORM _notify_sleepers();
  END IF;

  LOOP
    -- A statement of its own: its snapshot is later than the locks.
    RETURN QUERY
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    SELECT
      nextval('global_position_seq'), s.stream_id, coalesce(l.version, s.floor) + 1,
      s.category_key, clock_timestamp(), w.message_id, w.type, w.data, w.metadata
    FROM unnest(streams, types, data, metadata, expected_versions, message_ids, turns)
      AS w (stream, type, data, metadata, expected_version, message_id, turn)
    CROSS JOIN LATERAL (
      SELECT i.stream_id, i.category_key, i.category, i.floor
      FROM streams AS i
      WHERE i.stream = w.stream COLLATE "C"
      LIMIT 1
    ) AS s
    LEFT JOIN LATERAL (
      SELECT v.version
      FROM messages AS v
      WHERE v.stream_id = s.stream_id
      ORDER BY v.version DESC
      LIMIT 1
    ) AS l ON true
    WHERE w.turn = this_turn
      AND (w.expected_version <> coalesce(l.version, s.floor)) IS NOT TRUE
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), s.category))
      -- After the making of streams, only what is to begin them.
      AND (created IS NULL OR this_turn > 1 OR l.version IS NULL)
    ON CONFLICT (message_id) DO NOTHING
    RETURNING m.message_id, m.version, m.global_position;
    GET DIAGNOSTICS stored = ROW_COUNT;
    nothing := nothing AND stored = 0;

    tried := (SELECT count(*) FROM unnest(turns) AS t (turn) WHERE t.turn = this_turn);
    IF this_turn = 1 AND created IS NULL AND stored < tried THEN
      -- The locks guard the creation too. LIMIT keeps each of these one look-up for each message.
      INSERT INTO streams AS s (stream_id, category_key, stream, category)
      SELECT nextval('stream_id_seq'), _category_key(c.category), w.stream, c.category
      FROM unnest(streams, expected_versions, message_ids, turns)
        AS w (stream, expected_version, message_id, turn)
      CROSS JOIN LATERAL (SELECT category(w.stream)) AS c (category)
      LEFT JOIN LATERAL (
        SELECT i.stream_id FROM streams AS i WHERE i.stream = w.stream COLLATE "C" LIMIT 1
      ) AS known ON true
      LEFT JOIN LATERAL (
        SELECT m.version FROM messages AS m WHERE m.message_id = w.message_id LIMIT 1
      ) AS used ON true
      WHERE w.turn = 1
        AND (w.expected_version <> 0) IS NOT TRUE
        AND known.stream_id IS NULL
        AND used.version IS NULL
        AND (NOT _writers_restricted() OR _may_write(_acting_role(), c.category))
      ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS created = ROW_COUNT;
      CONTINUE WHEN created > 0;
    ELSIF this_turn = 1 AND stored < created THEN
      -- Roll back: otherwise a stream would be there without its message.
      RAISE EXCEPTION USING
        ERRCODE = 'serialization_failure',
        MESSAGE = 'an id of these messages was stored meanwhile',
        HINT = 'Nothing was stored. Write the messages singly.';
    END IF;
    EXIT WHEN (this_turn < ANY (turns)) IS NOT TRUE;
    this_turn := this_turn + 1;
  END LOOP;

  IF nothing THEN
    -- Without an id each such call of a transaction would take a mark.
    PERFORM pg_current_xact_id();
  END IF;
END
$$;

COMMENT ON FUNCTION write_group(text[], text[], jsonb[], jsonb[], bigint[], uuid[]) IS
$$Append messages that do not depend on one another, each to its own stream, in one transaction: for
programs that gather the writes of many tasks. Return a row for each message that was stored, in any
order. Call write_message for every other one: it stores the message or raises its error. The arrays
have the same length and hold one element a message. metadata, expected_versions, and any of their
elements, may be NULL; a message needs an id. Messages of one stream are stored in their order, each
with its own expected version. A message is not stored if another transaction holds its stream, if
the stream is at another version, or if its id is stored or is there twice. Nor is it stored if the
role may not write it, or if write_message would refuse an argument. Under REPEATABLE READ and
SERIALIZABLE none is stored. Locks the streams until the transaction ends; waits for no stream.
Raises 22023 if the arrays differ in length. Raises 55P03 if another transaction has held one of the
ids for 100 ms without a commit; 40P01 if two transactions wait for ids of each other; 40001 if one
has committed an id meanwhile. After an error nothing is stored: write each message singly.$$;

-- functions/write/write_message.sql
CREATE OR REPLACE FUNCTION write_message(
  stream text,
  type text,
  data jsonb,
  metadata jsonb DEFAULT NULL,
  expected_version bigint DEFAULT NULL,
  message_id uuid DEFAULT NULL,
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF (octet_length(type) BETWEEN 1 AND 255 AND data IS NOT NULL) IS NOT TRUE
    OR jsonb_typeof(metadata) <> 'object'
    OR _payload_problem(data) IS NOT NULL
    OR _payload_problem(metadata) IS NOT NULL
  THEN
    PERFORM _refuse_write(
      stream, expected_version, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL
    );
  END IF;

  -- Writers of one stream wait for one another until they commit; writers of different streams
  -- never do. The lock is a hash of the name, so that it also guards the stream's creation. A
  -- transaction that has no id yet has written nothing yet: the usual case, without a look at the
  -- setting.
  IF pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C")) IS NULL
    OR pg_current_xact_id_if_assigned() IS NOT NULL
  THEN
    PERFORM _announce_write();
  ELSIF NOT _enter_flight() THEN
    PERFORM _notify_sleepers();
  END IF;

  -- The usual case in one statement. The stream's lock keeps its next version free, so only a
  -- given id can be in use; under another isolation level the snapshot may be too old to know the
  -- version. Two statements, because ON CONFLICT costs something. The settings keep both look-ups
  -- on their indexes, also in a plan from a time when the store was empty (tests/plans).
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    NULL;
  ELSIF message_id IS NULL THEN
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    SELECT
      nextval('global_position_seq'), s.stream_id, coalesce(l.version, s.floor) + 1,
      s.category_key, clock_timestamp(), new_message_id(),
      write_message.type, write_message.data, write_message.metadata
    FROM streams AS s
    LEFT JOIN LATERAL (
      SELECT v.version
      FROM messages AS v
      WHERE v.stream_id = s.stream_id
      ORDER BY v.version DESC
      LIMIT 1
    ) AS l ON true
    WHERE s.stream = write_message.stream COLLATE "C"
      AND (expected_version <> coalesce(l.version, s.floor)) IS NOT TRUE
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), s.category))
    RETURNING m.version, m.global_position
    INTO write_message.version, write_message.global_position;
  ELSE
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    SELECT
      nextval('global_position_seq'), s.stream_id, coalesce(l.version, s.floor) + 1,
      s.category_key, clock_timestamp(), write_message.message_id,
      write_message.type, write_message.data, write_message.metadata
    FROM streams AS s
    LEFT JOIN LATERAL (
      SELECT v.version
      FROM messages AS v
      WHERE v.stream_id = s.stream_id
      ORDER BY v.version DESC
      LIMIT 1
    ) AS l ON true
    WHERE s.stream = write_message.stream COLLATE "C"
      AND (expected_version <> coalesce(l.version, s.floor)) IS NOT TRUE
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), s.category))
    ON CONFLICT (message_id) DO NOTHING
    RETURNING m.version, m.global_position
    INTO write_message.version, write_message.global_position;
  END IF;

  IF global_position IS NULL THEN
    -- A new stream, not the expected version, or an id in use: a repetition, or refused. So is a
    -- caller who may not write to the category.
    SELECT b.version, b.global_position INTO version, global_position
    FROM write_arrays(
      stream, ARRAY[type], ARRAY[data], ARRAY[metadata], expected_version, ARRAY[message_id]
    ) AS b;
  END IF;
END
$$;

COMMENT ON FUNCTION write_message(text, text, jsonb, jsonb, bigint, uuid) IS
$$Append a message to a stream; return its version and global position. expected_version NULL writes
in any case, 0 only if the stream is empty, n only if it is at version n. Without a message_id a new
one is made. Call it in FROM: SELECT * FROM write_message(…). PostgreSQL evaluates SELECT
(write_message(…)).* once for each column, and so writes the message twice. Writing the same message
with the same message_id to the same place again stores nothing and gives the first answer, so a
write whose answer was lost can be repeated. data and metadata have at most 100 arrays and objects
in one another. Locks the stream against other writers until the transaction ends. Raises 22023 for
a bad argument; MS001 if the stream is at another version; MS002 if the message_id is used by
another message. Raises 42501 if the role may not write to the stream's category; 40001 under
REPEATABLE READ and SERIALIZABLE if the snapshot is too old. The id of a message that was cut off is
not known any more: its repetition is MS001, or, without an expected version, a new message.$$;

-- functions/write/write_messages.sql
CREATE OR REPLACE FUNCTION write_messages(
  stream text,
  messages jsonb,
  expected_version bigint DEFAULT NULL,
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  batch record;
BEGIN
  IF (jsonb_typeof(messages) = 'array') IS NOT TRUE THEN
    PERFORM _refuse_argument('messages', 'must be a JSON array of objects');
  END IF;

  SELECT m.n - 1 AS index, r.reason INTO bad
  FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (message, n)
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN jsonb_typeof(m.message) <> 'object' THEN 'must be objects'
      WHEN m.message - ARRAY['type', 'data', 'metadata', 'message_id'] <> '{}'
        THEN 'must have no keys but "type", "data", "metadata" and "message_id"'
      WHEN (jsonb_typeof(m.message -> 'type') = 'string') IS NOT TRUE
        THEN 'must have a "type", a string'
      WHEN NOT m.message ? 'data' THEN 'must have "data"'
      WHEN m.message -> 'message_id' <> 'null' AND NOT (
        jsonb_typeof(m.message -> 'message_id') = 'string'
        AND m.message ->> 'message_id' ~* '^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$'
      ) THEN 'must have a UUID as "message_id", or none'
    END AS reason
  ) AS r
  WHERE r.reason IS NOT NULL
  ORDER BY m.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument('messages', bad.reason, jsonb_build_object('index', bad.index));
  END IF;

  SELECT
    array_agg(m.message ->> 'type' ORDER BY m.n) AS types,
    array_agg(m.message -> 'data' ORDER BY m.n) AS data,
    array_agg(nullif(m.message -> 'metadata', 'null') ORDER BY m.n) AS metadata,
    array_agg((m.message ->> 'message_id')::uuid ORDER BY m.n) AS message_ids
  INTO batch
  FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (message, n);

  SELECT w.version, w.global_position INTO version, global_position
  FROM write_arrays(
    stream, batch.types, batch.data, batch.metadata, expected_version, batch.message_ids
  ) AS w;
END
$$;

COMMENT ON FUNCTION write_messages(text, jsonb, bigint) IS
$$Append several messages to a stream, all or nothing, with consecutive versions; answers the last
one's version and global position. messages is an array of {"type", "data", "metadata"?,
"message_id"?}. expected_version is checked once, before the first. Writing the same messages with
the same ids to the same place again stores nothing and gives the first answer. Call it in FROM, as
write_message. Errors as write_message; DETAIL names the index, from 0, of a message that is
malformed.$$;

-- views/all_messages.sql
CREATE OR REPLACE VIEW all_messages AS
SELECT
  m.message_id,
  s.stream,
  m.version,
  m.global_position,
  m.type,
  m.data,
  m.metadata,
  m.added_at
FROM messages AS m
JOIN streams AS s USING (stream_id);

COMMENT ON VIEW all_messages IS
$$All messages with the names of their streams, for people. It shows what is committed: a program
that follows the global order reads with read_all, which never passes a message in flight.$$;
COMMENT ON COLUMN all_messages.message_id IS $$Identity of the message.$$;
COMMENT ON COLUMN all_messages.stream IS $$Name of its stream.$$;
COMMENT ON COLUMN all_messages.version IS $$Its place in the stream, from 1, without gaps.$$;
COMMENT ON COLUMN all_messages.global_position IS $$Its place in the store, from 1, with gaps.$$;
COMMENT ON COLUMN all_messages.type IS $$Name of its type.$$;
COMMENT ON COLUMN all_messages.data IS $$Its payload.$$;
COMMENT ON COLUMN all_messages.metadata IS $$Its writer's metadata, or NULL.$$;
COMMENT ON COLUMN all_messages.added_at IS $$When it was written, by the server's clock.$$;

-- views/category_statistics.sql
CREATE OR REPLACE VIEW category_statistics AS
SELECT
  s.category,
  count(*) AS streams,
  sum(coalesce(l.version - f.version + 1, 0))::bigint AS messages,
  min(f.global_position) AS first_position,
  max(l.global_position) AS last_position,
  min(f.added_at) AS first_added_at,
  max(l.added_at) AS last_added_at
FROM streams AS s
-- As in stream_statistics.
LEFT JOIN LATERAL (
  SELECT m.version, m.global_position, m.added_at
  FROM messages AS m
  WHERE m.stream_id = s.stream_id
  ORDER BY m.version
  LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
  SELECT m.version, m.global_position, m.added_at
  FROM messages AS m
  WHERE m.stream_id = s.stream_id
  ORDER BY m.version DESC
  LIMIT 1
) AS l ON true
GROUP BY s.category;

COMMENT ON VIEW category_statistics IS
$$Each category with its counts: two look-ups for each of its streams.$$;
COMMENT ON COLUMN category_statistics.category IS $$Name of the category.$$;
COMMENT ON COLUMN category_statistics.streams IS
$$How many streams of it were ever written to, also those that are empty now.$$;
COMMENT ON COLUMN category_statistics.messages IS $$How many messages they have.$$;
COMMENT ON COLUMN category_statistics.first_position IS $$Global position of the first one.$$;
COMMENT ON COLUMN category_statistics.last_position IS $$Global position of the last one.$$;
COMMENT ON COLUMN category_statistics.first_added_at IS
$$When the oldest of the streams' first messages was written.$$;
COMMENT ON COLUMN category_statistics.last_added_at IS
$$When the youngest of the streams' last messages was written.$$;

-- views/stream_statistics.sql
CREATE OR REPLACE VIEW stream_statistics AS
SELECT
  s.stream,
  s.category,
  coalesce(l.version - f.version + 1, 0) AS messages,
  f.version AS first_version,
  coalesce(l.version, s.floor) AS version,
  f.global_position AS first_position,
  l.global_position AS last_position,
  f.added_at AS first_added_at,
  l.added_at AS last_added_at
FROM streams AS s
-- One look-up each: versions have no gaps, so nothing has to be counted.
LEFT JOIN LATERAL (
  SELECT m.version, m.global_position, m.added_at
  FROM messages AS m
  WHERE m.stream_id = s.stream_id
  ORDER BY m.version
  LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
  SELECT m.version, m.global_position, m.added_at
  FROM messages AS m
  WHERE m.stream_id = s.stream_id
  ORDER BY m.version DESC
  LIMIT 1
) AS l ON true;

COMMENT ON VIEW stream_statistics IS
$$Each stream that was ever written to, with its first and last message: two look-ups a stream,
nothing is counted.$$;
COMMENT ON COLUMN stream_statistics.stream IS $$Name of the stream.$$;
COMMENT ON COLUMN stream_statistics.category IS $$Its category.$$;
COMMENT ON COLUMN stream_statistics.messages IS $$How many messages it has.$$;
COMMENT ON COLUMN stream_statistics.first_version IS
$$Version of its first message, 1 unless it was cut off; NULL if it has none.$$;
COMMENT ON COLUMN stream_statistics.version IS $$Its version: the highest ever written.$$;
COMMENT ON COLUMN stream_statistics.first_position IS $$Global position of its first message.$$;
COMMENT ON COLUMN stream_statistics.last_position IS $$Global position of its last message.$$;
COMMENT ON COLUMN stream_statistics.first_added_at IS $$When its first message was written.$$;
COMMENT ON COLUMN stream_statistics.last_added_at IS $$When its last message was written.$$;

-- views/type_statistics.sql
CREATE OR REPLACE VIEW type_statistics AS
SELECT
  m.type,
  count(*) AS messages,
  min(m.global_position) AS first_position,
  max(m.global_position) AS last_position,
  max(m.added_at) AS last_added_at
FROM messages AS m
GROUP BY m.type;

COMMENT ON VIEW type_statistics IS
$$Each type of messages and how many there are. It reads all messages: not for every minute.$$;
COMMENT ON COLUMN type_statistics.type IS $$Name of the type.$$;
COMMENT ON COLUMN type_statistics.messages IS $$How many messages have it.$$;
COMMENT ON COLUMN type_statistics.first_position IS $$Global position of the first one.$$;
COMMENT ON COLUMN type_statistics.last_position IS $$Global position of the last one.$$;
COMMENT ON COLUMN type_statistics.last_added_at IS $$When the youngest one was written.$$;

-- views/writers_in_flight.sql
CREATE OR REPLACE VIEW writers_in_flight AS
SELECT
  l.pid,
  x.gid AS prepared_transaction,
  coalesce(a.xact_start, x.prepared) AS since,
  coalesce(a.usename, x.owner) AS role,
  a.application_name AS application,
  a.state,
  l.after_position,
  greatest(b.last_position - l.after_position, 0) AS positions_waiting,
  _may_lock(coalesce(a.usename, x.owner)::text, 'mark') AS may_write
FROM _open_marks() AS l
CROSS JOIN (
  SELECT last_position() AS last_position
) AS b
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
-- A prepared transaction keeps the virtual id of its session until the server restarts; only its
-- lock on its own id tells which one it is.
LEFT JOIN pg_prepared_xacts AS x ON l.pid IS NULL
  AND x.transaction IN (
    SELECT t.transactionid
    FROM pg_locks AS t
    WHERE t.locktype = 'transactionid'
      AND t.pid IS NULL
      AND t.virtualtransaction = l.virtualtransaction
  )
ORDER BY after_position;

COMMENT ON VIEW writers_in_flight IS
$$The open transactions that have written to the store; the first one holds the safe position. Until
they end, readers across streams stop before the positions that they may still write.$$;
COMMENT ON COLUMN writers_in_flight.pid IS $$Process, for pg_terminate_backend; NULL if prepared.$$;
COMMENT ON COLUMN writers_in_flight.prepared_transaction IS
$$Name of the prepared transaction, for COMMIT PREPARED or ROLLBACK PREPARED.$$;
COMMENT ON COLUMN writers_in_flight.since IS $$When the transaction began, or was prepared.$$;
COMMENT ON COLUMN writers_in_flight.role IS $$Its role.$$;
COMMENT ON COLUMN writers_in_flight.application IS $$Its application_name.$$;
COMMENT ON COLUMN writers_in_flight.state IS $$The state of its session, as in pg_stat_activity.$$;
COMMENT ON COLUMN writers_in_flight.after_position IS $$It may still write after this position.$$;
COMMENT ON COLUMN writers_in_flight.positions_waiting IS
$$How many positions given since then wait behind it.$$;
COMMENT ON COLUMN writers_in_flight.may_write IS
$$Whether its role may write to the store, or may set a role that may. If not, the session has taken
the lock itself, and no message of the store is in flight.$$;

-- grants.sql
-- Nothing of a store is open to everybody: rights are granted to roles.
DO $$ BEGIN PERFORM _close_to_public(); END $$;

-- Nor is it open to whom the installer's default privileges give everything that he makes: they
-- would write to the tables, and call what is the owner's. Leave rights on earlier objects alone:
-- others have granted them.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT DISTINCT o.kind, o.name, a.grantee::regrole AS role
    FROM pg_namespace AS n
    CROSS JOIN LATERAL (
      SELECT 'SCHEMA' AS kind, n.nspname AS name, 'schema ' || n.oid AS key, n.nspacl AS acl
      UNION ALL
      SELECT
        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname, 'relation ' || c.oid,
        c.relacl
      FROM pg_class AS c WHERE c.relnamespace = n.oid
      UNION ALL
      SELECT 'FUNCTION', p.proname, 'function ' || p.oid, p.proacl
      FROM pg_proc AS p WHERE p.pronamespace = n.oid
    ) AS o
    CROSS JOIN aclexplode(o.acl) AS a
    WHERE n.nspname = current_schema()
      AND a.grantee NOT IN (0, n.nspowner)
      AND NOT current_setting('pgstore.objects')::jsonb ? o.key
  LOOP
    EXECUTE format('REVOKE ALL ON %s %I FROM %s', given.kind, given.name, given.role);
  END LOOP;
END
$$;

-- The new functions of an upgrade, for the roles that were granted rights before.
DO $$ BEGIN PERFORM _restore_grants(); END $$;

-- record.sql
-- Ends an installation or upgrade: writes down what has been applied.
INSERT INTO migrations (number, applied_at, name, checksum)
SELECT k.number, clock_timestamp(), k.name, k.checksum
FROM json_to_recordset(current_setting('pgstore.manifest')::json)
  AS k (number bigint, name text, checksum text)
ON CONFLICT (number) DO UPDATE
SET applied_at = excluded.applied_at, name = excluded.name, checksum = excluded.checksum
WHERE migrations.checksum <> excluded.checksum;
