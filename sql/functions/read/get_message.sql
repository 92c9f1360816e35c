CREATE OR REPLACE FUNCTION get_message(
  message_id uuid
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
  -- Not a join: for one the planner may read all of a table that is small, now or once.
  RETURN QUERY
  SELECT
    m.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id),
    m.version, m.global_position, m.type, m.data, m.metadata, m.added_at, m.tags
  FROM messages AS m
  WHERE _is_open() AND m.message_id = get_message.message_id;
END
$$;

COMMENT ON FUNCTION get_message(uuid) IS
$$The message with this id; no row if there is none.$$;
