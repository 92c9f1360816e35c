CREATE OR REPLACE FUNCTION synchronize_stream(
  stream text,
  known_ids uuid[],
  types text[],
  data jsonb[],
  metadata jsonb[] DEFAULT NULL,
  message_ids uuid[] DEFAULT NULL,
  tags jsonb[] DEFAULT NULL,
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
    PERFORM _refuse_write(stream, expected_version, types, data, metadata, message_ids, tags);
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
  WHERE m.message_id IS DISTINCT FROM k.message_id AND _is_open()
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
    FROM write_arrays(stream, types, data, metadata, expected_version, message_ids, tags) AS w;
  END IF;
END
$$;

COMMENT ON FUNCTION synchronize_stream(
  text, uuid[], text[], jsonb[], jsonb[], uuid[], jsonb[]
) IS
$$Bring a stream up to date with a list of messages whose first ones are stored already. known_ids
are the ids of those. The arrays (as in write_arrays) hold the rest, which is written with their
number as expected version. Of messages that were cut off any id, or NULL, will do. Return the place
of the stream's last message; 0 and 0 if it stays empty, and position 0 if all of it was cut off.
Raises MS003 if the stored messages have other ids; MS001 if the stream does not end where known_ids
does; otherwise as write_arrays.$$;
