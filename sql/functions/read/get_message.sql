CREATE OR REPLACE FUNCTION get_message(
  message_id uuid
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at
  FROM messages AS m
  JOIN streams AS s USING (stream_id)
  WHERE m.message_id = get_message.message_id;
END
$$;

COMMENT ON FUNCTION get_message(uuid) IS
$$The message with this id; no row if there is none.$$;
