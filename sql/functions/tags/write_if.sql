CREATE OR REPLACE FUNCTION write_if(
  stream text,
  messages jsonb,
  condition jsonb,
  decided_upon text,
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
  message jsonb := messages -> 0;
  tags text[];
  batch record;
  written record;
BEGIN
  IF condition IS NULL THEN
    PERFORM _refuse_argument('condition', 'must be a query, as read_tagged takes');
  END IF;
  -- The usual case, by simple expressions, because _batch_of takes a third of the time of a write.
  IF (
    CASE
      WHEN jsonb_typeof(message) = 'object' THEN
        jsonb_array_length(messages) = 1
        AND message - ARRAY['type', 'data', 'metadata', 'tags'] = '{}'
        AND jsonb_typeof(message -> 'type') = 'string'
        AND message ? 'data'
    END
  )
  THEN
    tags := array_remove(ARRAY[message #>> '{tags,0}', message #>> '{tags,1}'], NULL);
    IF to_jsonb(tags) <> coalesce(nullif(message -> 'tags', 'null'), '[]') THEN
      PERFORM _refuse_tags(ARRAY[message -> 'tags']);
      tags := _tags_as_stored(message -> 'tags');
    END IF;
    written := write_message(
      stream, message ->> 'type', message -> 'data', nullif(message -> 'metadata', 'null'),
      expected_version, NULL, nullif(tags, '{}'), condition, decided_upon
    );
    version := written.version;
    global_position := written.global_position;
    RETURN;
  END IF;
  SELECT b.* INTO batch FROM _batch_of(messages) AS b;
  SELECT w.version, w.global_position INTO version, global_position
  FROM write_arrays(
    stream, batch.types, batch.data, batch.metadata, expected_version, batch.message_ids,
    batch.tags, condition, decided_upon
  ) AS w;
END
$$;

COMMENT ON FUNCTION write_if(text, jsonb, jsonb, text, bigint) IS
$$Append messages to a stream, as write_messages, if no message that matches a query has come since
a decision. condition is the query, decided_upon the token that read_tagged answered with what was
decided upon. Locks the first tag of each item against writers of messages with that tag until the
transaction ends: name the rarest first. Raises MS009 if such a message has come; MS004 unless under
READ COMMITTED; otherwise as write_messages.$$;
