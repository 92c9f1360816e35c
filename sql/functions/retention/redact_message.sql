CREATE OR REPLACE FUNCTION redact_message(
  message_id uuid,
  data jsonb,
  reason text,
  metadata jsonb DEFAULT NULL,
  remove_tags text[] DEFAULT NULL
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
      IF remove_tags IS NOT NULL THEN
        PERFORM _remove_tags(message_id, target.global_position, remove_tags);
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
      'global_position', target.global_position, 'metadata', metadata IS NOT NULL,
      'tags', coalesce(cardinality(remove_tags), 0)
    )
  );
END
$$;

COMMENT ON FUNCTION redact_message(uuid, jsonb, text, jsonb, text[]) IS
$$Replace the payload of a stored message, and its metadata if that is given; its id, place, type
and time stay. Its tags stay too, except those in remove_tags: conditions and read_tagged do not
find the message by these any more. Tags cannot be added, because decisions that were made before
would not learn of it: write a message with the new tag instead. Snapshots of its stream that
have it are dropped; if the beginning of the stream was deleted, load_stream raises MS008 for it
from then on. Errors that subscriptions have kept with the message are forgotten. The reason is
written to the audit, the old content is not. A repetition of the write that stored it is refused
from then on (MS002). A subscription whose filter the new metadata, or the tags that are left, no
longer match does not hand the message out any more. Locks the stream against writers until the
transaction ends.
Raises 22023 for a bad argument, for an id that no message has, and for a tag to remove that the
message does not have. Also for metadata that would move the message to another partition of a
subscription, or have a subscription choose it.$$;
