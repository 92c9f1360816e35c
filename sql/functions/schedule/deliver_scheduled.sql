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
  tags_tried bigint := bigint '0';
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
    SELECT d.message_id, d.stream, d.tags
    FROM scheduled_messages AS d
    WHERE _is_open()
      AND d.due_at <= until
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), category(d.stream)))
    ORDER BY d.due_at, d.scheduled_position
  LOOP
    -- As many tags as write_arrays takes: the lock table has room for some thousand keys. Without a
    -- limit each call could fail for want of it.
    EXIT WHEN delivered >= max_count OR tags_tried >= 1000;
    CONTINUE WHEN due.stream = ANY (held);
    tags_tried := tags_tried + coalesce(cardinality(due.tags), 0);
    -- Waits for no stream, no tag and no row, so it cannot deadlock. A message that another
    -- transaction holds, and the later ones of its stream, are for the next call: the order in a
    -- stream is kept. The tables come before the row, as in the order of locks (docs/design.md).
    IF NOT pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(due.stream COLLATE "C"))
      OR NOT (
        SELECT coalesce(bool_and(pg_try_advisory_xact_lock_shared(
          _tag_lock_class(), hashtext(t.tag COLLATE "C")
        )), true)
        FROM unnest(due.tags) AS t (tag)
      )
    THEN
      held := array_append(held, due.stream);
      CONTINUE;
    END IF;
    LOCK TABLE messages, streams IN ROW EXCLUSIVE MODE;
    -- It may have been cancelled, and then scheduled again, since the loop read it.
    SELECT d.due_at <= until AND d.stream = due.stream COLLATE "C"
      AND d.tags IS NOT DISTINCT FROM due.tags INTO still_due
    FROM scheduled_messages AS d
    WHERE d.message_id = due.message_id
    FOR UPDATE SKIP LOCKED;
    IF still_due IS NOT TRUE THEN
      held := array_append(held, due.stream);
      CONTINUE;
    END IF;
    -- A message with this id may have been written already: each id is written once.
    PERFORM write_message(
      d.stream, d.type, d.data, d.metadata, message_id => d.message_id, tags => d.tags
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
forgotten. Waits for no other transaction: messages of a stream that another one writes to, or with
a tag that a condition looks for, are left for the next call, and so are those that the role may not
write. A call delivers less if the messages have 1000 tags together. Call it again at once if it has
delivered any, otherwise after next_due, or when a notification comes. Raises 22023 for a bad
argument; MS004 unless under READ COMMITTED; 25006 in a read-only transaction, as on a standby.$$;
