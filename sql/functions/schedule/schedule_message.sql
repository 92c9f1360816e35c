CREATE OR REPLACE FUNCTION schedule_message(
  stream text,
  type text,
  data jsonb,
  due_at timestamptz,
  metadata jsonb DEFAULT NULL,
  message_id uuid DEFAULT NULL,
  tags text[] DEFAULT NULL
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
  PERFORM _refuse_write(stream, NULL, ARRAY[type], ARRAY[data], ARRAY[metadata], NULL, NULL);
  IF tags IS NOT NULL THEN
    PERFORM _refuse_tags(ARRAY[to_jsonb(tags)]);
    tags := _tags_as_stored(to_jsonb(tags));
  END IF;
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
      message_id, due_at, scheduled_at, scheduled_position, stream, type, data, metadata,
      tags
    )
    SELECT
      new_id, schedule_message.due_at, clock_timestamp(), nextval('global_position_seq'),
      schedule_message.stream, schedule_message.type, schedule_message.data,
      schedule_message.metadata, schedule_message.tags
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

    SELECT
      u.stream, u.version, u.global_position,
      u.stream = schedule_message.stream COLLATE "C"
        AND u.type = schedule_message.type COLLATE "C" AND u.data = schedule_message.data
        AND _same_metadata(u.metadata, schedule_message.metadata)
        AND u.tags IS NOT DISTINCT FROM schedule_message.tags AS same
    INTO other
    FROM (
      SELECT s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.tags
      FROM messages AS m
      CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
      WHERE m.message_id = new_id
      UNION ALL
      SELECT d.stream, 0, 0, d.type, d.data, d.metadata, d.tags
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

COMMENT ON FUNCTION schedule_message(text, text, jsonb, timestamptz, jsonb, uuid, text[]) IS
$$Keep a message that deliver_scheduled writes to its stream at due_at or after; return its id.
Without a message_id a new one is made. Scheduling the same message with the same id again changes
nothing, whether it is still scheduled, then at its first time, or written. A call with the id of a
message that another transaction schedules, delivers or cancels waits for its end. Sessions that
wait for messages are notified. The transaction is in flight, as that of write_message: readers
across streams wait for its end. Raises 22023 for a bad argument; MS002 if the message_id is used by
another message, version and global_position 0 in DETAIL if that one is scheduled; 42501 if the role
may not write to the stream's category.$$;
