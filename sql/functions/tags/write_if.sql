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
  batch record;
BEGIN
  IF condition IS NULL THEN
    PERFORM _refuse_argument('condition', 'must be a query, as read_tagged takes');
  END IF;
  SELECT b.* INTO batch FROM _batch_of(messages) AS b;
  IF cardinality(batch.types) = 1 THEN
    -- The usual case takes less time there.
    PERFORM _refuse_tags(batch.tags);
    SELECT w.version, w.global_position INTO version, global_position
    FROM write_message(
      stream, batch.types[1], batch.data[1], batch.metadata[1], expected_version,
      batch.message_ids[1], _tags_as_stored(batch.tags[1]), condition, decided_upon
    ) AS w;
    RETURN;
  END IF;
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
