-- Frozen: the store of version 1, written by tools/freeze_release.py. Never edit it.
-- To be run in one transaction, after the setting pgstore.schema was set to the store's name.
SET LOCAL client_min_messages = warning;
DO $frozen$
BEGIN
  PERFORM
    set_config('pgstore.schema', current_setting('pgstore.schema'), true),
    set_config('pgstore.manifest', $manifest$[{"number": 0, "name": "functions, views and grants", "checksum": "f659cbe585bb78cc12d920c465395b0ff6d0341980fef54d63a55d0276b9dbd9"}, {"number": 1, "name": "0001_messages", "checksum": "0476ed0aa070617e768883465bce0e271270ede31da6f4b28e7e7a5562d39104"}, {"number": 2, "name": "0002_subscriptions", "checksum": "ee75df5a9bc3918184c118283c8e97d084b0b751f1b142e8b4f794145ac2855d"}]$manifest$, true);
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
BEGIN
  -- One installer at a time for a store, in this database.
  PERFORM pg_advisory_xact_lock(
    hashtextextended('pgstore:install:' || current_setting('pgstore.schema') COLLATE "C", 0)
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
  ELSIF NOT EXISTS (
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
  ELSIF NOT EXISTS (
    SELECT FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = current_setting('pgstore.schema')
      AND c.relname = 'migrations'
      AND c.relkind = 'r'
      AND c.relowner = n.nspowner
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

CREATE TABLE IF NOT EXISTS migrations (
  number bigint NOT NULL,
  applied_at timestamptz NOT NULL,
  name text NOT NULL,
  checksum text NOT NULL,
  CONSTRAINT migrations_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE migrations IS
$$What has been installed: a row for each migration, and row 0 for the re-applied files.$$;
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

-- functions/ids/new_message_id.sql
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

-- functions/order/fall_asleep.sql
CREATE OR REPLACE FUNCTION fall_asleep(
  OUT safe_position bigint,
  OUT in_flight boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- First the bell, then the look: a writer takes its mark first and tests the bell then, so one of
  -- the two sees the other. Every key, because a writer tests one of them. Waits at most for the
  -- instant that a writer holds one.
  PERFORM pg_advisory_lock_shared(bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
  SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
END
$$;

COMMENT ON FUNCTION fall_asleep() IS
$$Announce that this session sleeps, and look once more. For a reader that has caught up, on a
connection of its own that has run LISTEN on wake_channel(): if safe_position is beyond what it has
read, wake_up() and read; if in_flight, wake_up() and look again after some milliseconds; otherwise
wait for a notification, with a long time-out, then wake_up() and read. The announcement belongs to
the session and ends with it.$$;

-- functions/order/horizon.sql
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

  -- In this order: what got its position after the first step has one above last_position, and what
  -- is in flight at the second step is seen by its mark.
  last_position := pg_sequence_last_value('global_position_seq');
  -- A mark's key is the low half of a position near last_position, below or (taken since) above it.
  SELECT min(
    last_position - (((last_position - l.objid::bigint + 2147483648) & 4294967295) - 2147483648)
  )
  INTO lowest
  FROM pg_locks AS l
  WHERE l.locktype = 'advisory'
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND l.classid::bigint = (mark_lock_class()::bigint & 4294967295)
    AND l.objsubid = 2;

  safe_position := least(last_position, lowest);
  in_flight := lowest IS NOT NULL;
END
$$;

COMMENT ON FUNCTION horizon() IS
$$How far the store can be read in its global order without passing a message in flight: every
position up to safe_position is visible to statements that begin after this one, or will never
exist. in_flight tells whether any transaction that writes is open. Read it as a statement of its
own under READ COMMITTED. Raises MS005 on a standby.$$;

-- functions/order/safe_position.sql
CREATE OR REPLACE FUNCTION safe_position()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN (SELECT h.safe_position FROM horizon() AS h);
END
$$;

COMMENT ON FUNCTION safe_position() IS
$$The global position up to which the store can be read without passing a message in flight; 0 while
it is empty. See horizon().$$;

-- functions/order/wake_up.sql
CREATE OR REPLACE FUNCTION wake_up(
  OUT safe_position bigint,
  OUT in_flight boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_unlock_shared(bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
  SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
END
$$;

COMMENT ON FUNCTION wake_up() IS
$$Take back one fall_asleep() of this session, and look how far the store can be read.$$;

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
  WHERE m.message_id = get_message.message_id;
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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM refuse_argument('stream', 'must be the name of a stream');
  END IF;

  -- Not a join: for one the planner may sort the whole stream.
  RETURN QUERY
  SELECT
    m.message_id, last_message.stream, m.version, m.global_position, m.type, m.data, m.metadata,
    m.added_at
  FROM messages AS m
  WHERE m.stream_id = (
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

-- functions/read/range_of_all.sql
CREATE OR REPLACE FUNCTION range_of_all(
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at
  FROM messages AS m
  -- LIMIT keeps this one look-up for each message, whatever the planner thinks of the sizes.
  CROSS JOIN LATERAL (
    SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
  ) AS s
  WHERE m.global_position > range_of_all.after_position
    AND m.global_position <= range_of_all.up_to_position
    AND (range_of_all.types IS NULL OR m.type = ANY (range_of_all.types COLLATE "C"))
    AND (
      range_of_all.stream_pattern IS NULL
      OR s.stream LIKE range_of_all.stream_pattern COLLATE "C"
    )
    AND (
      range_of_all.partitions IS NULL
      OR range_of_all.partition = partition_of(
        m.stream_id, s.stream, m.metadata, range_of_all.partitions, range_of_all.partition_by
      )
    )
  ORDER BY m.global_position
  LIMIT range_of_all.max_count;
END;

COMMENT ON FUNCTION range_of_all(bigint, bigint, bigint, text[], text, bigint, bigint, text) IS
$$Internal: messages between two positions in global order, with filters that NULL leaves out.
Inlined into its callers, which have the planner walk along the index, hence without settings of its
own.$$;

-- functions/read/range_of_category.sql
CREATE OR REPLACE FUNCTION range_of_category(
  category text,
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at
  FROM messages AS m
  -- LIMIT keeps this one look-up for each message, whatever the planner thinks of the sizes.
  CROSS JOIN LATERAL (
    SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
  ) AS s
  -- Rows are compared, and ordered by both, because only the category's index can do that: for a
  -- plain range the planner may walk along all messages (tests/plans).
  WHERE (m.category_key, m.global_position)
      > (category_key(range_of_category.category), range_of_category.after_position)
    AND (m.category_key, m.global_position)
      <= (category_key(range_of_category.category), range_of_category.up_to_position)
    AND s.category = range_of_category.category
    AND (range_of_category.types IS NULL OR m.type = ANY (range_of_category.types COLLATE "C"))
    AND (
      range_of_category.stream_pattern IS NULL
      OR s.stream LIKE range_of_category.stream_pattern COLLATE "C"
    )
    AND (
      range_of_category.partitions IS NULL
      OR range_of_category.partition = partition_of(
        m.stream_id, s.stream, m.metadata, range_of_category.partitions,
        range_of_category.partition_by
      )
    )
  ORDER BY m.category_key, m.global_position
  LIMIT range_of_category.max_count;
END;

COMMENT ON FUNCTION range_of_category(
  text, bigint, bigint, bigint, text[], text, bigint, bigint, text
) IS
$$Internal: as range_of_all, of one category, by its index.$$;

-- functions/read/range_of_several.sql
CREATE OR REPLACE FUNCTION range_of_several(
  categories text[],
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text
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
    FROM unnest(range_of_several.categories) AS u (category)
  ) AS c
  CROSS JOIN LATERAL (
    SELECT
      o.message_id, o.stream, o.version, o.global_position, o.type, o.data, o.metadata, o.added_at
    FROM range_of_category(
      c.category, range_of_several.after_position, range_of_several.up_to_position,
      range_of_several.max_count, range_of_several.types, range_of_several.stream_pattern,
      range_of_several.partition, range_of_several.partitions,
      range_of_several.partition_by
    ) AS o
  ) AS r
  ORDER BY r.global_position
  LIMIT range_of_several.max_count;
END;

COMMENT ON FUNCTION range_of_several(
  text[], bigint, bigint, bigint, text[], text, bigint, bigint, text
) IS
$$Internal: as range_of_all, of some categories: the first messages of each by its index, merged.$$;

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
AS $$
#variable_conflict use_column
BEGIN
  IF (max_count >= 0) IS NOT TRUE THEN
    PERFORM refuse_argument('max_count', 'must be 0 or more');
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
$$Messages of all streams in global order, at most max_count, after after_position (exclusive). Who
goes on after the last position it got sees every message exactly once: it stops at the safe
position, before anything in flight. Only those of some types, of some categories, of streams whose
name is LIKE stream_pattern, and of one partition of so many, by hash of the stream, of the
stream's cardinal_id (its id up to the first "+") or of metadata:<key>; a NULL leaves out that
filter. Raises 22023 for a bad argument, MS004 under REPEATABLE READ and SERIALIZABLE, MS005 on a
standby.$$;

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
AS $$
#variable_conflict use_column
BEGIN
  IF category IS NULL THEN
    PERFORM refuse_argument('category', 'must be the name of a category');
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
$$Messages of a category's streams in global order: read_all with one category.$$;

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
  reached_position bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  found_count bigint;
BEGIN
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM refuse_argument('after_position', 'must be 0 or more');
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM refuse_argument('max_count', 'must be 1 or more');
  END IF;
  PERFORM refuse_filter(partition, partitions, partition_by, stream_pattern);
  PERFORM refuse_isolation();

  -- A statement of its own, before the one that reads: its snapshot must be the later one.
  safe := greatest(least(safe_position(), up_to_position), after_position);
  IF categories IS NULL THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      NULL::bigint
    FROM range_of_all(
      after_position, safe, max_count, types, stream_pattern, partition, partitions, partition_by
    ) AS r;
  ELSIF cardinality(categories) = 1 THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      NULL::bigint
    FROM range_of_category(
      categories[1], after_position, safe, max_count, types, stream_pattern, partition, partitions,
      partition_by
    ) AS r;
  ELSE
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      NULL::bigint
    FROM range_of_several(
      categories, after_position, safe, max_count, types, stream_pattern, partition, partitions,
      partition_by
    ) AS r;
  END IF;

  GET DIAGNOSTICS found_count = ROW_COUNT;
  IF found_count < max_count THEN
    reached_position := safe;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION read_page(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
) IS
$$As read_all, for a program that follows with filters: if there are fewer than max_count messages,
a last row without a message tells in reached_position how far it has looked, which is where to go
on, so that what the filters leave out is not looked at again.$$;

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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source_id bigint;
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM refuse_argument('stream', 'must be the name of a stream');
  ELSIF (max_count >= 0) IS NOT TRUE THEN
    PERFORM refuse_argument('max_count', 'must be 0 or more');
  ELSIF backward IS NULL THEN
    PERFORM refuse_argument('backward', 'must be true or false');
  END IF;

  SELECT s.stream_id INTO source_id
  FROM streams AS s
  WHERE s.stream = read_stream.stream COLLATE "C";

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
(inclusive); without it from the first message, or backward from the last. Nothing if the stream is
empty. Raises 22023 for a bad argument.$$;

-- functions/read/refuse_filter.sql
CREATE OR REPLACE FUNCTION refuse_filter(
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
    PERFORM refuse_argument('partitions', 'must be between 1 and 65536');
  ELSIF (partition IS NULL) <> (partitions IS NULL)
    OR partition NOT BETWEEN 0 AND partitions - 1
  THEN
    PERFORM refuse_argument(
      'partition', 'must be between 0 and partitions - 1, both given or none'
    );
  ELSIF (
    partition_by COLLATE "C" IN ('stream', 'cardinal_id')
    OR partition_by COLLATE "C" LIKE 'metadata:_%'
  ) IS NOT TRUE THEN
    PERFORM refuse_argument('partition_by', 'must be stream, cardinal_id or metadata:<key>');
  ELSIF (length(stream_pattern) - length(rtrim(stream_pattern, chr(92)))) % 2 = 1 THEN
    PERFORM refuse_argument('stream_pattern', 'must not end with a single backslash');
  END IF;
END
$$;

COMMENT ON FUNCTION refuse_filter(bigint, bigint, text, text) IS
$$Internal: raise 22023 unless these say which messages to read.$$;

-- functions/read/refuse_isolation.sql
CREATE OR REPLACE FUNCTION refuse_isolation()
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
        'cannot read across streams under %s', upper(current_setting('transaction_isolation'))
      ),
      DETAIL = json_build_object('isolation', current_setting('transaction_isolation'))::text,
      HINT = 'The transaction''s snapshot is older than the safe position, so messages could be '
        'passed over. Read under READ COMMITTED.';
  END IF;
END
$$;

COMMENT ON FUNCTION refuse_isolation() IS
$$Internal: raise MS004 unless the transaction runs under READ COMMITTED.$$;

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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN coalesce(
    (
      -- Not a join: for one the planner may sort the whole stream.
      SELECT m.version
      FROM messages AS m
      WHERE m.stream_id = (
        SELECT s.stream_id FROM streams AS s WHERE s.stream = stream_version.stream COLLATE "C"
      )
      ORDER BY m.version DESC
      LIMIT 1
    ),
    0
  );
END
$$;

COMMENT ON FUNCTION stream_version(text) IS
$$Version of the stream's last message; 0 if the stream is empty.$$;

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
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT m.number, m.checksum FROM migrations AS m ORDER BY m.number;
END
$$;

COMMENT ON FUNCTION applied_migrations() IS
$$What has been installed: the number and SHA-256 of each migration, and in row 0 the checksum of
the functions, views and grants.$$;

-- functions/store/schema_version.sql
CREATE OR REPLACE FUNCTION schema_version()
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN (SELECT max(m.number) FROM migrations AS m);
END
$$;

COMMENT ON FUNCTION schema_version() IS
$$Number of the last migration that was applied to this store.$$;

-- functions/subscriptions/acknowledge.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
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
    leased_until = CASE WHEN NOT acknowledge.release THEN p.leased_until END
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = acknowledge.partition
    AND p.token = acknowledge.token
    AND p.checkpoint <= acknowledge.checkpoint
    AND acknowledge.checkpoint <= (
      SELECT w.swept_position
      FROM subscription_sweeps AS w
      WHERE w.subscription_id = source.subscription_id
    );
  IF FOUND THEN
    IF source.partitions > 1 THEN
      DELETE FROM subscription_work AS w
      WHERE w.subscription_id = source.subscription_id
        AND w.partition = acknowledge.partition
        AND w.head <= acknowledge.checkpoint;
    END IF;
    RETURN;
  END IF;

  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = acknowledge.partition
    AND p.token = acknowledge.token;
  IF NOT FOUND THEN
    PERFORM lost_lease(subscription, partition, token);
  END IF;
  PERFORM refuse_argument(
    'checkpoint', 'must be one that fetch_batch gave, not before the last one acknowledged',
    jsonb_build_object('checkpoint', acknowledge.checkpoint)
  );
END
$$;

COMMENT ON FUNCTION acknowledge(text, bigint, bigint, bigint, boolean) IS
$$Move the checkpoint of a leased partition: everything up to it has been dealt with. In the
handler's own transaction, its effects and the checkpoint are one: exactly once. With release, the
lease is given back with it. Raises MS020 if the lease is lost, which takes the handler's effects
with it; 22023 if checkpoint is before the last one, or beyond what fetch_batch can have given.$$;

-- functions/subscriptions/add_partitions.sql
CREATE OR REPLACE FUNCTION add_partitions(
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
    subscription_id, partition, checkpoint, token, attempts, stopped
  )
  SELECT
    add_partitions.subscription_id, g.partition, add_partitions.checkpoint,
    new_token(0), 0, false
  FROM generate_series(0, partitions - 1) AS g (partition);
END
$$;

COMMENT ON FUNCTION add_partitions(bigint, bigint, bigint) IS
$$Internal: make the partitions of a subscription, each with a token that nobody has.$$;

-- functions/subscriptions/claim_batch.sql
CREATE OR REPLACE FUNCTION claim_batch(
  subscriptions text[],
  owner text,
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
AS $$
#variable_conflict use_column
BEGIN
  SELECT c.subscription, c.partition, c.token
  INTO claim_batch.subscription, claim_batch.partition, claim_batch.token
  FROM claim_partition(subscriptions, owner, lease) AS c;
  IF NOT FOUND THEN
    RETURN;
  ELSIF subscription IS NOT NULL THEN
    RETURN QUERY
    SELECT
      claim_batch.subscription, claim_batch.partition, claim_batch.token,
      f.message_id, f.stream, f.version, f.global_position, f.type, f.data, f.metadata, f.added_at,
      f.checkpoint, f.parked
    FROM fetch_batch(
      claim_batch.subscription, claim_batch.partition, claim_batch.token, max_count
    ) AS f;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  RETURN NEXT;
END
$$;

COMMENT ON FUNCTION claim_batch(text[], text, interval, bigint) IS
$$claim_partition and, if that has leased one, the first fetch_batch, in one round trip. If there is
nothing to fetch, one row with the lease and without a message: release it.$$;

-- functions/subscriptions/claim_partition.sql
CREATE OR REPLACE FUNCTION claim_partition(
  subscriptions text[],
  owner text,
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
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  swept bigint;
  source subscriptions;
  name text;
  looks bigint := bigint '0';
  busy boolean := false;
BEGIN
  IF (lease > '0') IS NOT TRUE THEN
    PERFORM refuse_argument('lease', 'must be more than 0');
  ELSIF subscriptions IS NULL OR array_position(subscriptions, NULL) IS NOT NULL THEN
    PERFORM refuse_argument('subscriptions', 'must be names');
  END IF;
  PERFORM refuse_isolation();
  safe := safe_position();

  FOREACH name IN ARRAY claim_partition.subscriptions LOOP
    source := subscription_of(name);
    CONTINUE WHEN source.paused;
    LOOP
      SELECT w.swept_position INTO swept
      FROM subscription_sweeps AS w
      WHERE w.subscription_id = source.subscription_id;
      -- With one partition a look for work costs less than a look at what is known.
      IF source.partitions > 1 OR source.next_partitions IS NOT NULL OR swept >= safe OR looks > 0
      THEN
        RETURN QUERY
        SELECT source.subscription, p.partition, p.token, p.checkpoint
        FROM lease_partition(source, claim_partition.owner, claim_partition.lease) AS p;
        IF FOUND THEN
          RETURN;
        END IF;
      END IF;

      IF source.next_partitions IS NOT NULL THEN
        EXIT WHEN NOT finish_repartition(source);
        source := subscription_of(name);
      ELSIF swept >= safe THEN
        EXIT;
      ELSIF looks = 3 OR NOT sweep_subscription(source, safe) THEN
        -- Not all at once: it holds up others, and this transaction.
        busy := true;
        EXIT;
      END IF;
      looks := looks + 1;
    END LOOP;
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
unless it is extended; its token is what acknowledge and the others check, so who lost the lease
cannot change anything. Raises 22023 for a bad argument, MS021 for an unknown subscription, and
MS004 as read_all.$$;

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
  retry_delay interval DEFAULT '1 second'
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  start_at bigint;
  new_id bigint;
  stored subscriptions;
BEGIN
  IF (octet_length(subscription) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM refuse_argument('subscription', 'must be a name of 1 to 255 bytes');
  ELSIF partitions IS NULL THEN
    PERFORM refuse_argument('partitions', 'must be between 1 and 65536');
  ELSIF start_position < 0 THEN
    PERFORM refuse_argument('start_position', 'must be 0 or more, or NULL for the end');
  ELSIF (on_failure IN ('stop', 'park')) IS NOT TRUE THEN
    PERFORM refuse_argument('on_failure', 'must be stop or park');
  ELSIF (max_attempts >= 1) IS NOT TRUE THEN
    PERFORM refuse_argument('max_attempts', 'must be 1 or more');
  ELSIF (retry_delay >= '0') IS NOT TRUE THEN
    PERFORM refuse_argument('retry_delay', 'must be 0 or more');
  ELSIF cardinality(categories) = 0 OR array_position(categories, NULL) IS NOT NULL THEN
    PERFORM refuse_argument('categories', 'must be names, or NULL for all');
  ELSIF cardinality(types) = 0 OR array_position(types, NULL) IS NOT NULL THEN
    PERFORM refuse_argument('types', 'must be names, or NULL for all');
  END IF;
  PERFORM refuse_filter(0, partitions, partition_by, stream_pattern);
  -- Sets: their order means nothing. Of nothing: NULL.
  categories := (SELECT array_agg(DISTINCT u.name COLLATE "C") FROM unnest(categories) AS u (name));
  types := (SELECT array_agg(DISTINCT u.name COLLATE "C") FROM unnest(types) AS u (name));

  IF start_time IS NOT NULL THEN
    start_at := position_before(start_time);
  ELSE
    start_at := coalesce(start_position, safe_position());
  END IF;

  INSERT INTO subscriptions AS s (
    subscription_id, partitions, max_attempts, created_at, retry_delay, paused, subscription,
    partition_by, on_failure, stream_pattern, categories, types
  )
  VALUES (
    nextval('subscription_id_seq'), create_subscription.partitions,
    create_subscription.max_attempts, clock_timestamp(), create_subscription.retry_delay, false,
    create_subscription.subscription, create_subscription.partition_by,
    create_subscription.on_failure, create_subscription.stream_pattern,
    create_subscription.categories, create_subscription.types
  )
  ON CONFLICT DO NOTHING
  RETURNING s.subscription_id INTO new_id;

  IF new_id IS NOT NULL THEN
    INSERT INTO subscription_sweeps (subscription_id, swept_position) VALUES (new_id, start_at);
    PERFORM add_partitions(new_id, partitions, start_at);
    RETURN true;
  END IF;

  stored := subscription_of(subscription);
  IF stored.categories IS DISTINCT FROM categories COLLATE "C"
    OR stored.types IS DISTINCT FROM types COLLATE "C"
    OR stored.stream_pattern IS DISTINCT FROM stream_pattern COLLATE "C"
    OR stored.partition_by <> partition_by COLLATE "C"
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS022',
      MESSAGE = format('subscription %s exists and reads something else', subscription),
      DETAIL = json_build_object(
        'subscription', subscription, 'categories', stored.categories, 'types', stored.types,
        'stream_pattern', stored.stream_pattern, 'partition_by', stored.partition_by
      )::text,
      HINT = 'Give it another name, or drop it first.';
  END IF;
  UPDATE subscriptions AS s
  SET
    on_failure = create_subscription.on_failure,
    max_attempts = create_subscription.max_attempts,
    retry_delay = create_subscription.retry_delay
  WHERE s.subscription_id = stored.subscription_id
    AND (s.on_failure, s.max_attempts, s.retry_delay) IS DISTINCT FROM (
      create_subscription.on_failure COLLATE "C", create_subscription.max_attempts,
      create_subscription.retry_delay
    );
  RETURN false;
END
$$;

COMMENT ON FUNCTION create_subscription(
  text, text[], text[], text, bigint, text, bigint, timestamptz, text, bigint, interval
) IS
$$Create a named durable reader; true if it is new, false if it was there and reads the same. It
reads all messages, or those of some categories, types or streams (filters as read_all), in so many
partitions. It starts after start_position (0: at the beginning; NULL: at the end), or with the
messages added from start_time on. A failing message is tried max_attempts times, after retry_delay
that doubles each time; then its partition stops, or with on_failure park the message is put aside.
For one that is there the start and the number of partitions are as they are (see
rewind_subscription, repartition_subscription), and the three settings of failure are updated.
Raises 22023 for a bad argument; MS022 if it is there and reads something else.$$;

-- functions/subscriptions/drop_parked.sql
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
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
  dropped bigint;
BEGIN
  DELETE FROM parked_messages AS k
  WHERE k.subscription_id = source.subscription_id
    AND (drop_parked.global_position IS NULL OR k.global_position = drop_parked.global_position);
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END
$$;

COMMENT ON FUNCTION drop_parked(text, bigint) IS
$$Forget one parked message, or all, as dealt with; answers how many. The messages themselves stay
in the store.$$;

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
AS $$
#variable_conflict use_column
DECLARE
  dropped bigint := (subscription_of(subscription)).subscription_id;
BEGIN
  DELETE FROM subscription_sweeps AS w WHERE w.subscription_id = dropped;
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = dropped;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = dropped;
  DELETE FROM subscription_partitions AS p WHERE p.subscription_id = dropped;
  DELETE FROM parked_messages AS k WHERE k.subscription_id = dropped;
  DELETE FROM subscriptions AS s WHERE s.subscription_id = dropped;
END
$$;

COMMENT ON FUNCTION drop_subscription(text) IS
$$Forget a subscription: its checkpoints and what it has parked. Whoever works on it loses its
lease. Raises MS021 if there is none.$$;

-- functions/subscriptions/extend_lease.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
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
    PERFORM lost_lease(subscription, partition, token);
  END IF;
  RETURN extended;
END
$$;

COMMENT ON FUNCTION extend_lease(text, bigint, bigint) IS
$$Extend a lease by its length from now; answers its new end. Raises MS020 if it is lost.$$;

-- functions/subscriptions/fail_message.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
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
    PERFORM lost_lease(subscription, partition, token);
  END IF;

  -- A parked message that was replayed and failed once more?
  UPDATE parked_messages AS k
  SET attempts = k.attempts + 1, error = fail_message.error, replay = false
  WHERE k.subscription_id = source.subscription_id
    AND k.global_position = fail_message.global_position
    AND k.partition = fail_message.partition
    AND k.replay;
  IF FOUND THEN
    RETURN 'park';
  ELSIF (
    global_position > leased.checkpoint
    AND subscription_has(source, partition, global_position - 1, global_position + 1)
  ) IS NOT TRUE THEN
    PERFORM refuse_argument('global_position', 'must be that of a message that fetch_batch gave');
  END IF;

  tried := 1 + CASE WHEN leased.failed_position = global_position THEN leased.attempts ELSE 0 END;
  parks := tried >= source.max_attempts AND source.on_failure = 'park';
  IF parks AND NOT subscription_has(source, partition, leased.checkpoint, global_position) THEN
    INSERT INTO parked_messages (
      subscription_id, global_position, partition, attempts, parked_at, replay, error
    )
    VALUES (
      source.subscription_id, fail_message.global_position, fail_message.partition, tried,
      clock_timestamp(), false, fail_message.error
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
    error = fail_message.error,
    stopped = tried >= source.max_attempts AND NOT parks,
    leased_until = NULL,
    retry_at = clock_timestamp()
      + least(least(source.retry_delay, '1 hour') * power(2, least(tried - 1, 30)), '1 hour')
  WHERE p.subscription_id = source.subscription_id AND p.partition = fail_message.partition;
  RETURN CASE WHEN tried >= source.max_attempts AND NOT parks THEN 'stop' ELSE 'retry' END;
END
$$;

COMMENT ON FUNCTION fail_message(text, bigint, bigint, bigint, text) IS
$$Report that handling a message failed, after the handler's transaction was rolled back. Answers
what follows: retry (the partition is released and handed out again after the pause), stop (it is
held until resume_subscription), or park (the message is put aside and the lease goes on after it).
A message is not parked before those that come before it have been acknowledged: where its batch was
rolled back with it, retry follows once more. Raises MS020 if the lease is lost; 22023 for another
message than one that fetch_batch can have given.$$;

-- functions/subscriptions/fetch_batch.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
  leased subscription_partitions;
  category text;
  swept bigint;
  wanted bigint;
  work record;
  done bigint;
  more bigint;
  found_count bigint := bigint '0';
BEGIN
  IF (max_count >= 1) IS NOT TRUE THEN
    PERFORM refuse_argument('max_count', 'must be 1 or more');
  END IF;
  PERFORM refuse_isolation();

  SELECT p.* INTO leased
  FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = fetch_batch.partition
    AND p.token = fetch_batch.token;
  IF leased.token IS NULL THEN
    PERFORM lost_lease(subscription, partition, token);
  ELSIF source.paused THEN
    RETURN;
  ELSIF leased.leased_until < clock_timestamp() + leased.lease / 2 THEN
    PERFORM extend_lease(subscription, partition, token);
  END IF;

  RETURN QUERY
  SELECT
    m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
    leased.checkpoint, true
  FROM parked_messages AS k
  JOIN messages AS m USING (global_position)
  JOIN streams AS s USING (stream_id)
  WHERE k.subscription_id = source.subscription_id
    AND k.partition = fetch_batch.partition
    AND k.replay
  ORDER BY k.global_position
  LIMIT 1;
  IF FOUND OR leased.stopped THEN
    RETURN;
  END IF;

  SELECT w.swept_position INTO swept
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id;
  -- After a failure one by one, so that the message that fails is alone when it fails again.
  wanted := CASE WHEN leased.attempts > 0 THEN 1 ELSE max_count END;
  -- As a variable of its own it costs less for each message.
  category := CASE WHEN cardinality(source.categories) = 1 THEN source.categories[1] END;
  IF source.partitions > 1 THEN
    <<listed>>
    FOR work IN
      SELECT w.positions
      FROM subscription_work AS w
      WHERE w.subscription_id = source.subscription_id
        AND w.partition = fetch_batch.partition
        AND w.head > leased.checkpoint
        AND w.head <= swept
      ORDER BY w.head
    LOOP
      done := width_bucket(leased.checkpoint, work.positions)::bigint;
      WHILE done < cardinality(work.positions) LOOP
        -- What has been deleted since, or is of another category with the same key, is left out.
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
        WHERE source.categories IS NULL OR s.category = ANY (source.categories)
        ORDER BY m.global_position;
        GET DIAGNOSTICS more = ROW_COUNT;
        done := done + wanted - found_count;
        found_count := found_count + more;
        EXIT listed WHEN found_count = wanted;
      END LOOP;
    END LOOP;
  ELSIF source.categories IS NULL THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      r.global_position, false
    FROM range_of_all(
      leased.checkpoint, swept, wanted, source.types, source.stream_pattern, NULL, NULL,
      source.partition_by
    ) AS r;
    GET DIAGNOSTICS found_count = ROW_COUNT;
  ELSIF category IS NOT NULL THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      r.global_position, false
    FROM range_of_category(
      category, leased.checkpoint, swept, wanted, source.types, source.stream_pattern,
      NULL, NULL, source.partition_by
    ) AS r;
    GET DIAGNOSTICS found_count = ROW_COUNT;
  ELSE
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
      r.global_position, false
    FROM range_of_several(
      source.categories, leased.checkpoint, swept, wanted, source.types, source.stream_pattern,
      NULL, NULL, source.partition_by
    ) AS r;
    GET DIAGNOSTICS found_count = ROW_COUNT;
  END IF;

  IF found_count = 0 AND leased.checkpoint < swept THEN
    PERFORM acknowledge(subscription, partition, token, swept);
  ELSIF found_count BETWEEN 1 AND wanted - 1 THEN
    checkpoint := swept;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION fetch_batch(text, bigint, bigint, bigint) IS
$$The next messages of a leased partition, in order, at most max_count; none if it has caught up or
the subscription is paused. Each comes with the checkpoint to acknowledge after it. If there are
fewer than max_count, a last row without a message has the checkpoint to acknowledge after all of
them, which is further on where nothing of the partition follows. After a failure they come one by
one until the failed one has been dealt with. A parked message that is to be replayed comes first,
alone, and is settled by settle_parked. Extends the lease when half of it is over. Raises MS020 if
the lease is lost.$$;

-- functions/subscriptions/finish_repartition.sql
CREATE OR REPLACE FUNCTION finish_repartition(
  source subscriptions
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  swept bigint;
BEGIN
  SELECT w.swept_position INTO swept
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- Once more, under the lock: somebody may have finished it since the caller read it.
  source := subscription_of(source.subscription);
  IF source.next_partitions IS NULL THEN
    RETURN true;
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

  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;
  DELETE FROM subscription_partitions AS p WHERE p.subscription_id = source.subscription_id;
  PERFORM add_partitions(source.subscription_id, source.next_partitions, swept);
  UPDATE subscriptions AS s
  SET partitions = source.next_partitions, next_partitions = NULL
  WHERE s.subscription_id = source.subscription_id;
  UPDATE parked_messages AS k
  SET partition = partition_of(
    m.stream_id, s.stream, m.metadata, source.next_partitions, source.partition_by
  )
  FROM messages AS m
  JOIN streams AS s USING (stream_id)
  WHERE k.subscription_id = source.subscription_id AND m.global_position = k.global_position;
  PERFORM notify_sleepers();  -- there can be work for more of them now
  RETURN true;
END
$$;

COMMENT ON FUNCTION finish_repartition(subscriptions) IS
$$Internal: give a subscription its new partitions if the old ones have dealt with all that was
known to wait; false if they have not, or somebody else is at it.$$;

-- functions/subscriptions/lease_partition.sql
CREATE OR REPLACE FUNCTION lease_partition(
  source subscriptions,
  owner text,
  lease interval
)
RETURNS SETOF subscription_partitions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  waiting record;
  chosen bigint;
BEGIN
  -- What waits longest comes first, and no partition that is idle is looked at. A loop, because for
  -- a join the planner may begin with the partitions (tests/plans).
  FOR waiting IN
    SELECT h.partition, h.head
    FROM subscription_heads AS h
    WHERE h.subscription_id = source.subscription_id
    ORDER BY h.head
  LOOP
    SELECT p.partition INTO chosen
    FROM subscription_partitions AS p
    WHERE p.subscription_id = source.subscription_id
      AND p.partition = waiting.partition
      AND p.checkpoint < waiting.head
      AND NOT p.stopped
      AND (p.leased_until IS NULL OR p.leased_until < clock_timestamp())
      AND (p.retry_at IS NULL OR p.retry_at <= clock_timestamp())
    FOR UPDATE SKIP LOCKED;
    EXIT WHEN FOUND;
  END LOOP;

  IF chosen IS NULL THEN
    FOR waiting IN
      SELECT DISTINCT k.partition
      FROM parked_messages AS k
      WHERE k.subscription_id = source.subscription_id AND k.replay
    LOOP
      SELECT p.partition INTO chosen
      FROM subscription_partitions AS p
      WHERE p.subscription_id = source.subscription_id
        AND p.partition = waiting.partition
        AND (p.leased_until IS NULL OR p.leased_until < clock_timestamp())
        AND (p.retry_at IS NULL OR p.retry_at <= clock_timestamp())
      FOR UPDATE SKIP LOCKED;
      EXIT WHEN FOUND;
    END LOOP;
  END IF;
  IF chosen IS NULL THEN
    RETURN;
  END IF;

  RETURN QUERY
  UPDATE subscription_partitions AS p
  SET
    token = new_token(p.token),
    owner = lease_partition.owner,
    lease = lease_partition.lease,
    leased_until = clock_timestamp() + lease_partition.lease
  WHERE p.subscription_id = source.subscription_id AND p.partition = chosen
  RETURNING p.*;
END
$$;

COMMENT ON FUNCTION lease_partition(subscriptions, text, interval) IS
$$Internal: lease a partition that is known to have work and is free.$$;

-- functions/subscriptions/list_parked.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
BEGIN
  RETURN QUERY
  SELECT
    k.global_position, s.stream, m.version, m.type, m.message_id, k.partition, k.attempts,
    k.parked_at, k.replay, k.error
  FROM parked_messages AS k
  JOIN messages AS m USING (global_position)
  JOIN streams AS s USING (stream_id)
  WHERE k.subscription_id = source.subscription_id
  ORDER BY k.global_position;
END
$$;

COMMENT ON FUNCTION list_parked(text) IS
$$The messages that a subscription has put aside, with the error of the last attempt.$$;

-- functions/subscriptions/list_partitions.sql
CREATE OR REPLACE FUNCTION list_partitions()
RETURNS TABLE (
  subscription text,
  partition bigint,
  state text,
  checkpoint bigint,
  behind bigint,
  owner text,
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
AS $$
#variable_conflict use_column
DECLARE
  safe bigint := safe_position();
BEGIN
  RETURN QUERY
  SELECT
    s.subscription,
    p.partition,
    CASE
      WHEN s.paused THEN 'paused'
      WHEN p.stopped THEN 'stopped'
      WHEN p.leased_until >= clock_timestamp() THEN 'working'
      WHEN e.waits AND p.retry_at > clock_timestamp() THEN 'retrying'
      WHEN e.waits OR e.reached < safe THEN 'waiting'
      ELSE 'idle'
    END,
    e.reached,
    greatest(safe - e.reached, 0),
    p.owner,
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
      coalesce(h.head > p.checkpoint, false) AS waits,
      CASE WHEN h.head > p.checkpoint THEN p.checkpoint ELSE w.swept_position END AS reached
  ) AS e
  ORDER BY s.subscription, p.partition;
END
$$;

COMMENT ON FUNCTION list_partitions() IS
$$Every partition of every subscription: its state (idle, waiting, working, retrying,
stopped, paused), the global position up to which everything of it has been dealt with, how many
positions that is behind the safe position, who has the lease, and the last failure.$$;

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
  created_at timestamptz
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    s.subscription, s.categories, s.types, s.stream_pattern, s.partitions, s.next_partitions,
    s.partition_by, s.on_failure, s.max_attempts, s.retry_delay, s.paused, s.created_at
  FROM subscriptions AS s
  ORDER BY s.subscription;
END
$$;

COMMENT ON FUNCTION list_subscriptions() IS
$$The subscriptions and what each reads; list_partitions tells how far they are.$$;

-- functions/subscriptions/lost_lease.sql
CREATE OR REPLACE FUNCTION lost_lease(
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

COMMENT ON FUNCTION lost_lease(text, bigint, bigint) IS $$Internal: raise MS020.$$;

-- functions/subscriptions/new_token.sql
CREATE OR REPLACE FUNCTION new_token(
  last_token bigint
)
RETURNS bigint
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN greatest(last_token + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

COMMENT ON FUNCTION new_token(bigint) IS
$$Internal: a fencing token, higher than the partition's last one. Microseconds, and no sequence:
when the server crashes, a claim whose commit was not waited for is lost, and its token must not be
given again. Nor may one of a partition that was there before under the same name.$$;

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
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
BEGIN
  UPDATE subscriptions AS s SET paused = true WHERE s.subscription_id = source.subscription_id;
END
$$;

COMMENT ON FUNCTION pause_subscription(text) IS
$$Hand out nothing more of a subscription; batches in hand are finished.$$;

-- functions/subscriptions/position_before.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  low bigint := bigint '0';
  high bigint := safe_position();
  middle bigint;
  probe record;
BEGIN
  -- Times rise with positions but for what writers overtook one another: bisect, then look back.
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
$$The global position after which all messages added at moment or later are. A few that are a little
older can be after it too, where writers overtook one another.$$;

-- functions/subscriptions/release_partition.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
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
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
BEGIN
  IF partitions IS NULL THEN
    PERFORM refuse_argument('partitions', 'must be between 1 and 65536');
  END IF;
  PERFORM refuse_filter(0, partitions, 'stream', NULL);
  -- Not while somebody looks for work: what is known to wait is what is dealt with first.
  PERFORM FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  UPDATE subscriptions AS s
  SET next_partitions = nullif(repartition_subscription.partitions, s.partitions)
  WHERE s.subscription_id = source.subscription_id;
  PERFORM notify_sleepers();
END
$$;

COMMENT ON FUNCTION repartition_subscription(text, bigint) IS
$$Change the number of partitions. The workers first finish what they know of, so that all
partitions stand at the same position; then the new ones go on from there: nothing is left out,
done twice or out of order. A stopped partition has to be resumed for that, and a paused
subscription too. Raises 22023 for a bad number.$$;

-- functions/subscriptions/replay_parked.sql
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
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
  marked bigint;
BEGIN
  UPDATE parked_messages AS k
  SET replay = true
  WHERE k.subscription_id = source.subscription_id
    AND (replay_parked.global_position IS NULL
      OR k.global_position = replay_parked.global_position);
  GET DIAGNOSTICS marked = ROW_COUNT;
  PERFORM notify_sleepers();
  RETURN marked;
END
$$;

COMMENT ON FUNCTION replay_parked(text, bigint) IS
$$Have one parked message, or all, handed out again; answers how many. It is delivered by whoever
works on its partition, and stays parked if it fails once more.$$;

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
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
BEGIN
  IF partition IS NULL THEN
    UPDATE subscriptions AS s SET paused = false WHERE s.subscription_id = source.subscription_id;
  END IF;
  UPDATE subscription_partitions AS p
  SET stopped = false, retry_at = NULL, attempts = 0
  WHERE p.subscription_id = source.subscription_id
    AND (resume_subscription.partition IS NULL OR p.partition = resume_subscription.partition)
    AND (p.stopped OR p.retry_at IS NOT NULL);
  PERFORM notify_sleepers();
END
$$;

COMMENT ON FUNCTION resume_subscription(text, bigint) IS
$$Go on: with a paused subscription and all its stopped partitions, or with one stopped partition.
The message that failed is tried again at once.$$;

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
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
  target bigint := coalesce(position_before(to_time), to_position);
BEGIN
  IF (target BETWEEN 0 AND safe_position()) IS NOT TRUE THEN
    PERFORM refuse_argument(
      'to_position', 'must be between 0 and the safe position, or a time must be given'
    );
  END IF;

  -- Waits for who is looking for work and for acknowledgements that are not committed yet; every
  -- lease given before is void after it.
  PERFORM FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE;
  DELETE FROM subscription_heads AS h WHERE h.subscription_id = source.subscription_id;
  DELETE FROM subscription_work AS w WHERE w.subscription_id = source.subscription_id;
  UPDATE subscription_partitions AS p
  SET
    checkpoint = target,
    token = new_token(p.token),
    leased_until = NULL,
    retry_at = NULL,
    attempts = 0,
    failed_position = NULL,
    error = NULL,
    stopped = false
  WHERE p.subscription_id = source.subscription_id;
  UPDATE subscription_sweeps AS w
  SET swept_position = target
  WHERE w.subscription_id = source.subscription_id;
  PERFORM notify_sleepers();
  RETURN target;
END
$$;

COMMENT ON FUNCTION rewind_subscription(text, bigint, timestamptz) IS
$$Have a subscription go on after another global position, or with the messages added from a time
on: back, to have messages handled again, or forward, to leave some out. Answers the position. Who
works on it loses the lease. Parked messages stay parked. Raises 22023 for a position beyond the
safe one.$$;

-- functions/subscriptions/settle_parked.sql
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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
BEGIN
  -- The lease is locked for as long as the transaction lasts, so that nobody replays it meanwhile.
  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = settle_parked.partition
    AND p.token = settle_parked.token
  FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM lost_lease(subscription, partition, token);
  END IF;
  DELETE FROM parked_messages AS k
  WHERE k.subscription_id = source.subscription_id
    AND k.global_position = settle_parked.global_position
    AND k.partition = settle_parked.partition
    AND k.replay;
  IF NOT FOUND THEN
    PERFORM refuse_argument(
      'global_position', 'must be that of a parked message of this partition under replay'
    );
  END IF;
END
$$;

COMMENT ON FUNCTION settle_parked(text, bigint, bigint, bigint) IS
$$Acknowledge a parked message that was replayed, in the handler's own transaction. Raises MS020 if
the lease is lost; 22023 if it is not under replay.$$;

-- functions/subscriptions/subscription_has.sql
CREATE OR REPLACE FUNCTION subscription_has(
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
        AND w.partition = subscription_has.partition
        AND w.head > after_position
        AND u.global_position > after_position
        AND u.global_position < before_position
        AND EXISTS (SELECT FROM messages AS m WHERE m.global_position = u.global_position)
    );
  ELSIF source.categories IS NULL THEN
    RETURN EXISTS (
      SELECT
      FROM range_of_all(
        after_position, before_position - 1, 1, source.types, source.stream_pattern, NULL, NULL,
        source.partition_by
      ) AS r
    );
  END IF;
  RETURN EXISTS (
    SELECT
    FROM range_of_several(
      source.categories, after_position, before_position - 1, 1, source.types,
      source.stream_pattern, NULL, NULL, source.partition_by
    ) AS r
  );
END
$$;

COMMENT ON FUNCTION subscription_has(subscriptions, bigint, bigint, bigint) IS
$$Internal: whether a partition has a message between two positions, both exclusive.$$;

-- functions/subscriptions/subscription_of.sql
CREATE OR REPLACE FUNCTION subscription_of(
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
  WHERE s.subscription = subscription_of.subscription COLLATE "C";
  IF found_row.subscription_id IS NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS021',
      MESSAGE = format('there is no subscription %s', subscription),
      DETAIL = json_build_object('subscription', subscription)::text,
      HINT = 'Create it with create_subscription.';
  END IF;
  RETURN found_row;
END
$$;

COMMENT ON FUNCTION subscription_of(text) IS
$$Internal: the subscription of this name. Raises MS021 if there is none.$$;

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
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := subscription_of(subscription);
BEGIN
  -- One statement: what it has swept and what waits belong together.
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

-- functions/subscriptions/sweep_subscription.sql
CREATE OR REPLACE FUNCTION sweep_subscription(
  source subscriptions,
  safe bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  window_size bigint;
  from_position bigint;
  to_position bigint;
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
  source := subscription_of(source.subscription);
  window_size := least(10000 * source.partitions, 100000);

  -- What has been dealt with needs no head. The only one is written again.
  IF source.partitions > 1 THEN
    DELETE FROM subscription_heads AS h
    WHERE h.subscription_id = source.subscription_id
      AND h.head <= (
        SELECT p.checkpoint
        FROM subscription_partitions AS p
        WHERE p.subscription_id = h.subscription_id AND p.partition = h.partition
      );
  END IF;

  IF safe - from_position <= window_size THEN
    to_position := safe;
  ELSIF source.categories IS NULL THEN
    SELECT m.global_position INTO to_position
    FROM messages AS m
    WHERE m.global_position > from_position AND m.global_position <= safe
    ORDER BY m.global_position
    OFFSET window_size - 1
    LIMIT 1;
  ELSE
    -- The window of the fullest category; the others' rows in it are fewer.
    SELECT min(o.global_position) INTO to_position
    FROM unnest(source.categories) AS c (category)
    CROSS JOIN LATERAL (
      SELECT m.global_position
      FROM messages AS m
      -- Rows are compared as in range_of_category.
      WHERE (m.category_key, m.global_position) > (category_key(c.category), from_position)
        AND (m.category_key, m.global_position) <= (category_key(c.category), safe)
      ORDER BY m.category_key, m.global_position
      OFFSET window_size - 1
      LIMIT 1
    ) AS o;
  END IF;
  to_position := coalesce(to_position, safe);

  IF source.partitions = 1 THEN
    -- Its fetches look at all that is there: no need to know what.
    INSERT INTO subscription_heads AS h (subscription_id, partition, head)
    SELECT source.subscription_id, 0, to_position
    WHERE subscription_has(source, 0, from_position, to_position + 1)
    ON CONFLICT ON CONSTRAINT subscription_heads_subscription_id_partition_pkey
    DO UPDATE SET head = excluded.head;
  ELSE
    -- The look-up of its stream costs more than the rest of a message. That another category with
    -- the same key is none of these, fetch_batch sees.
    named := source.partition_by <> 'stream' OR source.stream_pattern IS NOT NULL;
    -- Of the two halves of found, one is empty.
    WITH found AS (
      SELECT
        partition_of(m.stream_id, s.stream, m.metadata, source.partitions, source.partition_by)
          AS partition,
        m.global_position
      FROM messages AS m
      LEFT JOIN LATERAL (
        SELECT i.stream FROM streams AS i WHERE named AND i.stream_id = m.stream_id LIMIT 1
      ) AS s ON true
      WHERE source.categories IS NULL AND m.global_position > from_position
        AND m.global_position <= to_position
        AND (source.types IS NULL OR m.type = ANY (source.types))
        AND (source.stream_pattern IS NULL OR s.stream LIKE source.stream_pattern)
      UNION ALL
      SELECT
        partition_of(m.stream_id, s.stream, m.metadata, source.partitions, source.partition_by)
          AS partition,
        m.global_position
      FROM unnest(source.categories) AS c (category)
      CROSS JOIN LATERAL (
        SELECT n.stream_id, n.global_position, n.type, n.metadata
        FROM messages AS n
        WHERE (n.category_key, n.global_position) > (category_key(c.category), from_position)
          AND (n.category_key, n.global_position) <= (category_key(c.category), to_position)
        ORDER BY n.category_key, n.global_position
        OFFSET 0
      ) AS m
      LEFT JOIN LATERAL (
        SELECT i.stream FROM streams AS i WHERE named AND i.stream_id = m.stream_id LIMIT 1
      ) AS s ON true
      WHERE (source.types IS NULL OR m.type = ANY (source.types))
        AND (source.stream_pattern IS NULL OR s.stream LIKE source.stream_pattern)
    ),
    listed AS (
      INSERT INTO subscription_work (subscription_id, partition, head, positions)
      SELECT
        source.subscription_id, f.partition, max(f.global_position),
        array_agg(f.global_position ORDER BY f.global_position)
      FROM found AS f
      GROUP BY f.partition
      RETURNING partition, head
    )
    INSERT INTO subscription_heads AS h (subscription_id, partition, head)
    SELECT source.subscription_id, l.partition, l.head
    FROM listed AS l
    ON CONFLICT ON CONSTRAINT subscription_heads_subscription_id_partition_pkey
    DO UPDATE SET head = excluded.head;
  END IF;

  UPDATE subscription_sweeps AS w
  SET swept_position = to_position
  WHERE w.subscription_id = source.subscription_id;
  RETURN true;
END
$$;

COMMENT ON FUNCTION sweep_subscription(subscriptions, bigint) IS
$$Internal: look at the next messages of a subscription, up to
10,000 for each partition and 100,000 in all, and note the partitions they
wait in, and where. False if somebody else is at it. One look tells every partition whether it has
work and which, so that neither finding nor fetching it costs more with more partitions.$$;

-- functions/write/announce_write.sql
CREATE OR REPLACE FUNCTION announce_write()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint := pg_sequence_last_value('global_position_seq');
  -- Anybody may set it, to anything.
  mark bigint := substring(current_setting(mark_setting(), true) FROM '^\d{1,18}$')::bigint;
BEGIN
  IF (mark BETWEEN last_position - 2147483647 AND last_position) IS NOT TRUE THEN
    -- Not known to be in flight: also when the message before was written by the caller's fast path
    -- (one mark more does no harm), and after a savepoint that held the mark was rolled back. And
    -- when the setting cannot be true: anybody may set it, and the key of a number above the last
    -- position, or far below it, can stand for a bound that is too high.
    PERFORM set_config(mark_setting(), last_position::text, true);
    IF NOT enter_flight() THEN
      PERFORM notify_sleepers();
    END IF;
  ELSE
    -- The setting only says which mark to take: taking one that is held costs little.
    PERFORM pg_advisory_xact_lock_shared(mark_lock_class(), mark::bit(32)::integer);
  END IF;
END
$$;

COMMENT ON FUNCTION announce_write() IS
$$Internal: make sure that a transaction that has written before, here or elsewhere, holds its
in-flight mark and has tested the bell. At most two marks a transaction and store.$$;

-- functions/write/create_stream.sql
CREATE OR REPLACE FUNCTION create_stream(
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
  -- The caller holds the stream's lock, so nobody else creates it now. A conflict means that this
  -- transaction's snapshot is older than the stream: then this raises 40001.
  INSERT INTO streams AS s (stream_id, category_key, stream, category)
  VALUES (
    nextval('stream_id_seq'),
    category_key(category(create_stream.stream)),
    create_stream.stream,
    category(create_stream.stream)
  )
  ON CONFLICT DO NOTHING
  RETURNING s.stream_id, s.category_key INTO create_stream.stream_id, create_stream.category_key;
END
$$;

COMMENT ON FUNCTION create_stream(text) IS
$$Internal: intern a stream that does not exist yet. The caller holds the stream's lock. Raises
40001 if the stream came into being after the transaction's snapshot.$$;

-- functions/write/enter_flight.sql
CREATE OR REPLACE FUNCTION enter_flight()
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN
  -- The mark comes before the first nextval, so that its key bounds every position that this
  -- transaction can still get.
  pg_advisory_xact_lock_shared(
    mark_lock_class(), pg_sequence_last_value('global_position_seq')::bit(32)::integer
  ) IS NULL
  -- The bell comes after the mark: a reader does it the other way round, so one sees the other. A
  -- bell key is taken and given back in one expression, which nothing can interrupt half-way.
  OR (
    pg_try_advisory_lock(bell_lock_class(), pg_backend_pid() % 16)
    AND pg_advisory_unlock(bell_lock_class(), pg_backend_pid() % 16)
  );

COMMENT ON FUNCTION enter_flight() IS
$$Internal: take the in-flight mark of this transaction and test the bell; false if somebody sleeps
and wants to be notified. Inlined into its callers, hence without a search_path of its own.$$;

-- functions/write/notify_sleepers.sql
CREATE OR REPLACE FUNCTION notify_sleepers()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- PostgreSQL cannot prepare a transaction that has notified: who uses two-phase commit sets this,
  -- and sleeping readers find the message at their next fallback poll.
  IF lower(current_setting('pgstore.notify', true)) IN ('off', 'false', 'no', '0') IS NOT TRUE THEN
    PERFORM pg_notify(wake_channel(), '');
  END IF;
END
$$;

COMMENT ON FUNCTION notify_sleepers() IS
$$Internal: wake the sleeping readers when this transaction commits. Not if the setting
pgstore.notify is off.$$;

-- functions/write/refuse_argument.sql
CREATE OR REPLACE FUNCTION refuse_argument(
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
    MESSAGE = format('%s %s', argument, reason),
    DETAIL = jsonb_build_object('argument', argument, 'reason', reason) || detail,
    HINT = 'Nothing was stored. See the description of the function for what it takes.';
END
$$;

COMMENT ON FUNCTION refuse_argument(text, text, jsonb) IS
$$Internal: raise 22023 for an argument, with {"argument", "reason", …} as DETAIL.$$;

-- functions/write/refuse_version.sql
CREATE OR REPLACE FUNCTION refuse_version(
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
    PERFORM create_stream(stream);
  ELSE
    INSERT INTO messages (
      global_position, stream_id, version, category_key, added_at, message_id, type, data
    )
    VALUES (
      nextval('global_position_seq'), refuse_version.stream_id, actual_version + 1, 0,
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

COMMENT ON FUNCTION refuse_version(text, bigint, bigint, bigint) IS
$$Internal: raise MS001, or 40001 if the transaction's snapshot is too old to know the version.$$;

-- functions/write/refuse_write.sql
CREATE OR REPLACE FUNCTION refuse_write(
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
    PERFORM refuse_argument('stream', 'must be a name of 1 to 1000 bytes');
  ELSIF expected_version < 0 THEN
    PERFORM refuse_argument(
      'expected_version', 'must be NULL (any version), 0 (an empty stream) or a version',
      jsonb_build_object('expected_version', expected_version)
    );
  ELSIF coalesce(cardinality(types), 0) = 0 THEN
    PERFORM refuse_argument('messages', 'must not be empty');
  ELSIF cardinality(data) IS DISTINCT FROM cardinality(types)
    OR cardinality(metadata) <> cardinality(types)
    OR cardinality(message_ids) <> cardinality(types)
  THEN
    PERFORM refuse_argument('messages', 'must be arrays of the same length');
  END IF;

  SELECT
    m.n - 1 AS index,
    CASE
      WHEN octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE THEN 'type'
      WHEN m.data IS NULL THEN 'data'
      ELSE 'metadata'
    END AS argument
  INTO bad
  FROM unnest(types, data, metadata) WITH ORDINALITY AS m (type, data, metadata, n)
  WHERE octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE
    OR m.data IS NULL
    OR jsonb_typeof(m.metadata) <> 'object'
  ORDER BY m.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM refuse_argument(
      bad.argument,
      CASE bad.argument
        WHEN 'type' THEN 'must be a name of 1 to 255 bytes'
        WHEN 'data' THEN 'must be a JSON value, not NULL'
        ELSE 'must be a JSON object or NULL'
      END,
      jsonb_build_object('index', bad.index)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION refuse_write(text, bigint, text[], jsonb[], jsonb[], uuid[]) IS
$$Internal: raise 22023 for the first argument of a write that is wrong; return if none is.$$;

-- functions/write/repeated_write.sql
CREATE OR REPLACE FUNCTION repeated_write(
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
    PERFORM refuse_argument(
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
  WHERE a.stream_id <> repeated_write.stream_id OR a.version <= at_version
  ORDER BY a.global_position
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  SELECT count(*), min(a.version), max(a.version), max(a.global_position)
  INTO matching, first_version, repeated_write.version, repeated_write.global_position
  FROM unnest(types, data, metadata, message_ids) WITH ORDINALITY
    AS w (type, data, metadata, message_id, n)
  CROSS JOIN LATERAL (
    SELECT m.stream_id, m.version, m.global_position, m.type, m.data, m.metadata
    FROM messages AS m
    WHERE m.message_id = w.message_id
    LIMIT 1
  ) AS a
  WHERE a.stream_id = repeated_write.stream_id
    AND a.version = other.version + w.n - 1
    AND a.type = w.type COLLATE "C"
    AND a.data = w.data
    AND a.metadata IS NOT DISTINCT FROM w.metadata;
  IF matching <> cardinality(types) OR first_version - 1 <> expected_version THEN
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

COMMENT ON FUNCTION repeated_write(bigint, bigint, bigint, text[], jsonb[], jsonb[], uuid[]) IS
$$Internal: the place of the last of these messages if exactly they are stored already, in this
order, at the place they are to be written to; NULLs if none of their ids is stored. Raises 22023 if
an id is there twice, MS002 if any is stored otherwise.$$;

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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  expected_version bigint := coalesce(cardinality(known_ids), 0)::bigint;
  other record;
BEGIN
  IF cardinality(types) > 0 THEN
    PERFORM refuse_write(stream, expected_version, types, data, metadata, message_ids);
    -- The stream's lock, as in write_message: what is compared below is then what is written to.
    PERFORM pg_advisory_xact_lock(stream_lock_class(), hashtext(stream COLLATE "C"));
  ELSIF coalesce(octet_length(stream), 0) NOT BETWEEN 1 AND 1000 THEN
    PERFORM refuse_argument('stream', 'must be a name of 1 to 1000 bytes');
  ELSIF coalesce(cardinality(types), 0) <> coalesce(cardinality(data), 0) THEN
    PERFORM refuse_argument('messages', 'must be arrays of the same length');
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
  version := coalesce(version, 0);
  global_position := coalesce(global_position, 0);

  -- If all of the rest is stored, it may be a repetition, which write_batch tells.
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
    PERFORM refuse_version(
      stream,
      (
        SELECT s.stream_id FROM streams AS s WHERE s.stream = synchronize_stream.stream COLLATE "C"
      ),
      version,
      expected_version
    );
  ELSIF cardinality(types) > 0 THEN
    SELECT w.version, w.global_position INTO version, global_position
    FROM write_batch(stream, types, data, metadata, expected_version, message_ids) AS w;
  END IF;
END
$$;

COMMENT ON FUNCTION synchronize_stream(text, uuid[], text[], jsonb[], jsonb[], uuid[]) IS
$$Bring a stream up to date with a list of messages whose first ones are stored already: known_ids
are the ids of those, and the arrays (as in write_batch) hold the rest, which is written with their
number as expected version. Answers the place of the stream's last message; 0 and 0 if it stays
empty. Raises MS003 if the stored messages have other ids; MS001 if the stream does not end where
known_ids does; otherwise as write_batch.$$;

-- functions/write/write_batch.sql
CREATE OR REPLACE FUNCTION write_batch(
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
  PERFORM refuse_write(stream, expected_version, types, data, metadata, message_ids);

  -- See write_message for the order of these steps and what each lock is for.
  PERFORM pg_advisory_xact_lock(stream_lock_class(), hashtext(stream COLLATE "C"));
  PERFORM announce_write();

  SELECT s.stream_id, s.category_key INTO target
  FROM streams AS s
  WHERE s.stream = write_batch.stream COLLATE "C";
  IF NOT FOUND THEN
    target := create_stream(stream);
  END IF;

  SELECT m.version INTO at_version
  FROM messages AS m
  WHERE m.stream_id = target.stream_id
  ORDER BY m.version DESC
  LIMIT 1;
  at_version := coalesce(at_version, 0);

  IF (expected_version <> at_version) IS NOT TRUE THEN
    written_at := clock_timestamp();
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    SELECT
      nextval('global_position_seq'), target.stream_id, at_version + w.n, target.category_key,
      written_at, coalesce(w.message_id, new_message_id()), w.type, w.data, w.metadata
    FROM unnest(types, data, metadata, message_ids) WITH ORDINALITY
      AS w (type, data, metadata, message_id, n)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
  END IF;

  IF written = cardinality(types) THEN
    version := at_version + written;
    global_position := currval('global_position_seq');
  ELSE
    -- Not the expected version, or an id is in use: a repetition, or refused.
    SELECT r.version, r.global_position INTO version, global_position
    FROM repeated_write(
      target.stream_id, at_version, expected_version, types, data, metadata, message_ids
    ) AS r;
    IF global_position IS NULL THEN
      PERFORM refuse_version(stream, target.stream_id, at_version, expected_version);
    END IF;
  END IF;
END
$$;

COMMENT ON FUNCTION write_batch(text, text[], jsonb[], jsonb[], bigint, uuid[]) IS
$$Append several messages to a stream, all or nothing, with consecutive versions; answers the last
one's version and global position. As write_messages, for drivers that send arrays: the fastest way
in. The arrays have the same length and hold one element a message; metadata and message_ids, and
any of their elements, may be NULL. Errors as write_message.$$;

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
SET seq_page_cost = 1e9
AS $$
#variable_conflict use_column
BEGIN
  IF (octet_length(type) BETWEEN 1 AND 255 AND data IS NOT NULL) IS NOT TRUE
    OR jsonb_typeof(metadata) <> 'object'
  THEN
    PERFORM refuse_write(stream, expected_version, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL);
  END IF;

  -- Writers of one stream stand in a row until they commit; writers of different streams never
  -- wait for one another. By hash of the name, so that it also guards the stream's creation. A
  -- transaction that has no id yet has written nothing yet: the usual case, without a look at the
  -- setting.
  IF pg_advisory_xact_lock(stream_lock_class(), hashtext(stream COLLATE "C")) IS NULL
    OR pg_current_xact_id_if_assigned() IS NOT NULL
  THEN
    PERFORM announce_write();
  ELSIF NOT enter_flight() THEN
    PERFORM notify_sleepers();
  END IF;

  -- The usual case in one statement. The stream's lock keeps its next version free, so only the id
  -- can be in use; under another isolation level the snapshot may be too old to know the version.
  IF current_setting('transaction_isolation') = 'read committed' THEN
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    SELECT
      nextval('global_position_seq'), s.stream_id, s.at_version + 1, s.category_key,
      clock_timestamp(), coalesce(write_message.message_id, new_message_id()),
      write_message.type, write_message.data, write_message.metadata
    FROM (
      SELECT
        t.stream_id,
        t.category_key,
        coalesce(
          (
            SELECT v.version
            FROM messages AS v
            WHERE v.stream_id = t.stream_id
            ORDER BY v.version DESC
            LIMIT 1
          ),
          0
        ) AS at_version
      FROM streams AS t
      WHERE t.stream = write_message.stream COLLATE "C"
      OFFSET 0
    ) AS s
    WHERE (expected_version <> s.at_version) IS NOT TRUE
    ON CONFLICT (message_id) DO NOTHING
    RETURNING m.version, m.global_position
    INTO write_message.version, write_message.global_position;
  END IF;

  IF global_position IS NULL THEN
    -- A new stream, not the expected version, or an id in use: a repetition, or refused.
    SELECT b.version, b.global_position INTO version, global_position
    FROM write_batch(
      stream, ARRAY[type], ARRAY[data], ARRAY[metadata], expected_version, ARRAY[message_id]
    ) AS b;
    -- A repetition writes nothing, and without an id each one of a transaction would take a mark.
    PERFORM pg_current_xact_id();
  END IF;
END
$$;

COMMENT ON FUNCTION write_message(text, text, jsonb, jsonb, bigint, uuid) IS
$$Append a message to a stream; answers its version and global position. expected_version NULL
writes in any case, 0 only if the stream is empty, n only if it is at version n. Without a
message_id a new one is made. Writing the same message with the same message_id to the same place
again stores nothing and gives the first answer, so a write whose answer was lost can be repeated.
Locks the stream against other writers until the transaction ends. Raises 22023 for a bad argument;
MS001 if the stream is at another version; MS002 if the message_id is used by another message;
40001 under REPEATABLE READ and SERIALIZABLE if the snapshot is too old.$$;

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
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  batch record;
BEGIN
  IF (jsonb_typeof(messages) = 'array') IS NOT TRUE THEN
    PERFORM refuse_argument('messages', 'must be a JSON array of objects');
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
    PERFORM refuse_argument('messages', bad.reason, jsonb_build_object('index', bad.index));
  END IF;

  SELECT
    array_agg(m.message ->> 'type' ORDER BY m.n) AS types,
    array_agg(m.message -> 'data' ORDER BY m.n) AS data,
    array_agg(nullif(m.message -> 'metadata', 'null') ORDER BY m.n) AS metadata,
    array_agg((m.message ->> 'message_id')::uuid ORDER BY m.n) AS message_ids
  INTO batch
  FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (message, n);

  SELECT w.version, w.global_position INTO version, global_position
  FROM write_batch(
    stream, batch.types, batch.data, batch.metadata, expected_version, batch.message_ids
  ) AS w;
END
$$;

COMMENT ON FUNCTION write_messages(text, jsonb, bigint) IS
$$Append several messages to a stream, all or nothing, with consecutive versions; answers the last
one's version and global position. messages is an array of {"type", "data", "metadata"?,
"message_id"?}. expected_version is checked once, before the first. Writing the same messages with
the same ids to the same place again stores nothing and gives the first answer. Errors as
write_message; DETAIL names the index, from 0, of a message that is malformed.$$;

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
COMMENT ON COLUMN all_messages.metadata IS $$What its writer said about it, or NULL.$$;
COMMENT ON COLUMN all_messages.added_at IS $$When it was written, by the server's clock.$$;

-- views/writers_in_flight.sql
CREATE OR REPLACE VIEW writers_in_flight AS
SELECT
  l.pid,
  x.gid AS prepared_transaction,
  coalesce(a.xact_start, x.prepared) AS since,
  coalesce(a.usename, x.owner) AS role,
  a.application_name AS application,
  a.state,
  b.last_position - (
    ((b.last_position - l.objid::bigint + 2147483648) & 4294967295) - 2147483648
  ) AS after_position,
  greatest(
    ((b.last_position - l.objid::bigint + 2147483648) & 4294967295) - 2147483648, 0
  ) AS positions_waiting
FROM pg_locks AS l
CROSS JOIN (
  SELECT pg_sequence_last_value('global_position_seq') AS last_position
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
WHERE l.locktype = 'advisory'
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid::bigint = (mark_lock_class()::bigint & 4294967295)
  AND l.objsubid = 2
ORDER BY after_position;

COMMENT ON VIEW writers_in_flight IS
$$The open transactions that have written to the store; the first one holds the safe position. Until
they end, readers across streams stop before what they may still write.$$;
COMMENT ON COLUMN writers_in_flight.pid IS $$Process, for pg_terminate_backend; NULL if prepared.$$;
COMMENT ON COLUMN writers_in_flight.prepared_transaction IS
$$Name of the prepared transaction, for COMMIT PREPARED or ROLLBACK PREPARED.$$;
COMMENT ON COLUMN writers_in_flight.since IS $$When the transaction began, or was prepared.$$;
COMMENT ON COLUMN writers_in_flight.role IS $$Its role.$$;
COMMENT ON COLUMN writers_in_flight.application IS $$Its application_name.$$;
COMMENT ON COLUMN writers_in_flight.state IS $$What its session does.$$;
COMMENT ON COLUMN writers_in_flight.after_position IS $$It may still write after this position.$$;
COMMENT ON COLUMN writers_in_flight.positions_waiting IS
$$How many positions given since then wait behind it.$$;

-- grants.sql
-- Nothing of a store is open to everybody: rights are granted to roles. Dynamic, because these
-- commands name the schema.
DO $$
BEGIN
  EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA %I FROM PUBLIC', current_schema());
END
$$;

-- record.sql
-- Ends an installation or upgrade: writes down what has been applied.
INSERT INTO migrations (number, applied_at, name, checksum)
SELECT k.number, clock_timestamp(), k.name, k.checksum
FROM json_to_recordset(current_setting('pgstore.manifest')::json)
  AS k (number bigint, name text, checksum text)
ON CONFLICT (number) DO UPDATE
SET applied_at = excluded.applied_at, name = excluded.name, checksum = excluded.checksum
WHERE migrations.checksum <> excluded.checksum;
