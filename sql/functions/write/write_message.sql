CREATE OR REPLACE FUNCTION write_message(
  stream text,
  type text,
  data jsonb,
  metadata jsonb DEFAULT NULL,
  expected_version bigint DEFAULT NULL,
  message_id uuid DEFAULT NULL,
  tags text[] DEFAULT NULL,
  condition jsonb DEFAULT NULL,
  decided_upon text DEFAULT NULL,
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
  newer bigint;
BEGIN
  -- Metadata by itself, because most writes have none: each expression takes time in each
  -- transaction.
  IF (octet_length(type) BETWEEN 1 AND 255 AND data IS NOT NULL) IS NOT TRUE
    OR _payload_problem(data) IS NOT NULL
  THEN
    PERFORM _refuse_write(
      stream, expected_version, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL, NULL
    );
  ELSIF metadata IS NOT NULL THEN
    IF jsonb_typeof(metadata) <> 'object' OR _payload_problem(metadata) IS NOT NULL THEN
      PERFORM _refuse_write(
        stream, expected_version, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL, NULL
      );
    END IF;
  END IF;
  IF tags IS NOT NULL OR condition IS NOT NULL OR decided_upon IS NOT NULL THEN
    -- The stream's lock comes first, as in all functions. Then the usual cases, one or two tags in
    -- order. Nothing but simple expressions.
    IF pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C")) IS NULL
      OR (
        cardinality(tags) = 1 AND array_lower(tags, 1) = 1
        AND octet_length(tags[1]) BETWEEN 1 AND 255
      ) IS NOT TRUE
    THEN
      IF (
        cardinality(tags) = 2 AND array_lower(tags, 1) = 1
        AND octet_length(tags[1]) BETWEEN 1 AND 255
        AND octet_length(tags[2]) BETWEEN 1 AND 255
        AND tags[1] < tags[2] COLLATE "C"
      ) IS NOT TRUE AND tags IS NOT NULL
      THEN
        PERFORM _refuse_tags(ARRAY[to_jsonb(tags)]);
        tags := _tags_as_stored(to_jsonb(tags));
      END IF;
    END IF;
    IF condition IS NOT NULL OR decided_upon IS NOT NULL OR cardinality(tags) > 2 THEN
      newer := _meet_condition(tags, condition, decided_upon);
      IF newer IS NOT NULL AND message_id IS NULL
        AND octet_length(stream) BETWEEN 1 AND 1000 AND coalesce(expected_version, 0) >= 0
      THEN
        -- Without an id it is no repetition. As write_arrays refuses it, in half the time: of
        -- callers that compete most are refused.
        PERFORM _refuse_target(stream, NULL);
        PERFORM _refuse_condition(newer);
      END IF;
    ELSIF pg_advisory_xact_lock_shared(
        _tag_lock_class(), least(hashtext(tags[1] COLLATE "C"), hashtext(tags[2] COLLATE "C"))
      ) IS NULL
      OR pg_advisory_xact_lock_shared(
        _tag_lock_class(), greatest(hashtext(tags[1] COLLATE "C"), hashtext(tags[2] COLLATE "C"))
      ) IS NULL
    THEN
    END IF;
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
  IF current_setting('transaction_isolation') <> 'read committed'
    OR newer IS NOT NULL
  THEN
    NULL;
  ELSIF message_id IS NULL THEN
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata,
      tags
    )
    SELECT
      nextval('global_position_seq'), s.stream_id, coalesce(l.version, s.floor) + 1,
      s.category_key, clock_timestamp(), new_message_id(),
      write_message.type, write_message.data, write_message.metadata, write_message.tags
    FROM streams AS s
    LEFT JOIN LATERAL _last_version(s.stream_id) AS l (version) ON true
    WHERE s.stream = write_message.stream COLLATE "C"
      AND (expected_version <> coalesce(l.version, s.floor)) IS NOT TRUE
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), s.category))
    RETURNING m.version, m.global_position
    INTO write_message.version, write_message.global_position;
  ELSE
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata,
      tags
    )
    SELECT
      nextval('global_position_seq'), s.stream_id, coalesce(l.version, s.floor) + 1,
      s.category_key, clock_timestamp(), write_message.message_id,
      write_message.type, write_message.data, write_message.metadata, write_message.tags
    FROM streams AS s
    LEFT JOIN LATERAL _last_version(s.stream_id) AS l (version) ON true
    WHERE s.stream = write_message.stream COLLATE "C"
      AND (expected_version <> coalesce(l.version, s.floor)) IS NOT TRUE
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), s.category))
    ON CONFLICT (message_id) DO NOTHING
    RETURNING m.version, m.global_position
    INTO write_message.version, write_message.global_position;
  END IF;

  IF global_position IS NULL THEN
    -- A new stream, not the expected version, or an id in use: a repetition, or refused. So is a
    -- caller who may not write to the category, and a condition that is not met.
    SELECT b.version, b.global_position INTO version, global_position
    FROM write_arrays(
      stream, ARRAY[type], ARRAY[data], ARRAY[metadata], expected_version, ARRAY[message_id],
      ARRAY[to_jsonb(tags)], condition, decided_upon
    ) AS b;
  ELSIF tags IS NOT NULL THEN
    IF cardinality(tags) = 1 THEN
      INSERT INTO message_tags (tag_key, global_position)
      VALUES (_tag_key(tags[1]), write_message.global_position);
    ELSE
      -- Two tags may have one key.
      INSERT INTO message_tags (tag_key, global_position)
      SELECT DISTINCT _tag_key(t.tag), write_message.global_position FROM unnest(tags) AS t (tag);
    END IF;
  END IF;
END
$$;

COMMENT ON FUNCTION write_message(
  text, text, jsonb, jsonb, bigint, uuid, text[], jsonb, text
) IS
$$Append a message to a stream; return its version and global position. expected_version NULL writes
in any case, 0 only if the stream is empty, n only if it is at version n. Without a message_id a new
one is made. Call it in FROM: SELECT * FROM write_message(…). PostgreSQL evaluates SELECT
(write_message(…)).* once for each column, and so writes the message twice. Writing the same message
with the same message_id to the same place again stores nothing and gives the first answer, so a
write whose answer was lost can be repeated. data and metadata have at most 100 arrays and objects
in one another. tags are at most 32 names of 1 to 255 bytes, of which each is stored once. With
condition and decided_upon it writes only if no message that matches has come since a decision, as
write_if does. Locks the stream against other writers until the transaction ends, and each tag
against conditions that look for it. Raises 22023 for a bad argument; MS001 if the stream is at
another version; MS002 if the message_id is used by another message; MS009 if a message that matches
the condition has come. Raises 42501 if the role may not write to the stream's category; 40001 under
REPEATABLE READ and SERIALIZABLE if the snapshot is too old. The id of a message that was cut off is
not known any more: its repetition is MS001, or, without an expected version, a new message.$$;
