CREATE OR REPLACE FUNCTION last_message(
  stream text,
  type text DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  END IF;

  -- Not a join: for one the planner may sort the whole stream.
  RETURN QUERY
  SELECT
    m.message_id, last_message.stream, m.version, m.global_position, m.type, m.data, m.metadata,
    m.added_at, m.tags
  FROM messages AS m
  WHERE _is_open()
    AND m.stream_id = (
      SELECT s.stream_id FROM streams AS s WHERE s.stream = last_message.stream COLLATE "C"
    )
    AND (last_message.type IS NULL OR m.type = last_message.type COLLATE "C")
  ORDER BY m.version DESC
  LIMIT 1;
END
$$;

COMMENT ON FUNCTION last_message(text, text) IS
$$The last message of a stream, or its last one of a type; no row if there is none. With a type it
goes back from the end of the stream until it finds one. Raises 22023 for a bad argument.$$;
