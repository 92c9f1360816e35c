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
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  target record;
  at_version bigint;
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

  SELECT
    s.stream_id, s.category_key, s.floor,
    EXISTS (SELECT FROM grants AS g WHERE g.kind = 'write' AND g.categories IS NOT NULL)
      OR current_setting('transaction_isolation') <> 'read committed' AS checked
  INTO target
  FROM streams AS s
  WHERE s.stream = write_message.stream COLLATE "C";
  IF NOT FOUND THEN
    PERFORM refuse_write(stream, expected_version, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL);
    PERFORM refuse_target(stream, NULL);
    SELECT c.stream_id, c.category_key, bigint '0' AS floor, false AS checked INTO target
    FROM create_stream(stream) AS c;
  ELSIF target.checked THEN
    PERFORM refuse_target(stream, target.stream_id);
  END IF;

  SELECT m.version INTO at_version
  FROM messages AS m
  WHERE m.stream_id = target.stream_id
  ORDER BY m.version DESC
  LIMIT 1;
  at_version := coalesce(at_version, target.floor);

  IF (expected_version <> at_version) IS NOT TRUE THEN
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    VALUES (
      nextval('global_position_seq'), target.stream_id, at_version + 1, target.category_key,
      clock_timestamp(), coalesce(write_message.message_id, new_message_id()),
      write_message.type, write_message.data, write_message.metadata
    )
    ON CONFLICT DO NOTHING
    RETURNING m.version, m.global_position
    INTO write_message.version, write_message.global_position;
  END IF;

  IF global_position IS NULL THEN
    -- Not the expected version, or the id is in use: a repetition, or refused.
    PERFORM refuse_write(stream, expected_version, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL);
    SELECT r.version, r.global_position INTO version, global_position
    FROM repeated_write(
      target.stream_id, at_version, expected_version, ARRAY[type], ARRAY[data], ARRAY[metadata],
      ARRAY[message_id]
    ) AS r;
    IF global_position IS NOT NULL THEN
      -- A repetition writes nothing, and without an id each one of a transaction would take a mark.
      PERFORM pg_current_xact_id();
    ELSE
      PERFORM refuse_version(stream, target.stream_id, at_version, expected_version);
    END IF;
  END IF;
END
$$;

COMMENT ON FUNCTION write_message(text, text, jsonb, jsonb, bigint, uuid) IS
$$Append a message to a stream; answers its version and global position. expected_version NULL
writes in any case, 0 only if the stream is empty, n only if it is at version n. Without a
message_id a new one is made. Writing the same message with the same message_id to the same place
again stores nothing and gives the first answer, so a write whose answer was lost can be repeated.
Locks the stream against other writers until the transaction ends. Raises 22023 for a bad argument;
MS001 if the stream is at another version; MS002 if the message_id is used by another message; 42501
if the role may not write to the stream's category; 40001 under REPEATABLE READ and SERIALIZABLE if
the snapshot is too old. The id of a message that was cut off is not known any more: its repetition
is MS001, or, without an expected version, a new message.$$;
