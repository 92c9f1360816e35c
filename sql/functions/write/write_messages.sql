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
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  batch record;
BEGIN
  SELECT b.* INTO batch FROM _batch_of(messages) AS b;
  SELECT w.version, w.global_position INTO version, global_position
  FROM write_arrays(
    stream, batch.types, batch.data, batch.metadata, expected_version, batch.message_ids,
    batch.tags
  ) AS w;
END
$$;

COMMENT ON FUNCTION write_messages(text, jsonb, bigint) IS
$$Append several messages to a stream, all or nothing, with consecutive versions; answers the last
one's version and global position. messages is an array of {"type", "data", "metadata"?,
"message_id"?, "tags"?}. expected_version is checked once, before the first. Writing the same
messages with the same ids to the same place again stores nothing and gives the first answer. Call
it in FROM, as write_message. Errors as write_message; DETAIL names the index, from 0, of a message
that is malformed.$$;
