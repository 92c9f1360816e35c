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
