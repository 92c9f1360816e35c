CREATE OR REPLACE FUNCTION read_correlated(
  correlation_id text,
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF (octet_length(correlation_id) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value('correlation_id', 'must be 1 to 255 bytes', to_jsonb(correlation_id));
  ELSIF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  END IF;
  -- Without it this would look at every message.
  IF (
    SELECT i.indisvalid
    FROM pg_index AS i
    WHERE i.indexrelid = to_regclass('messages_correlation_id_global_position_idx')
  ) IS NOT TRUE THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'the index of correlation ids is missing, or not valid',
      DETAIL = json_build_object('index', 'messages_correlation_id_global_position_idx')::text,
      HINT = format(
        'The owner builds it beside the writers: DROP INDEX IF EXISTS %1$I.%2$I; '
          'CREATE INDEX CONCURRENTLY %2$I ON %1$I.messages '
          '(((metadata ->> ''correlation_id'') COLLATE "C"), global_position) '
          'WHERE octet_length(metadata ->> ''correlation_id'') <= 255;',
        current_schema(), 'messages_correlation_id_global_position_idx'
      );
  END IF;

  RETURN QUERY
  SELECT
    m.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id),
    m.version, m.global_position, m.type, m.data, m.metadata, m.added_at, m.tags
  FROM messages AS m
  -- Rows are compared as in _range_of_category. The length is the index's condition.
  WHERE _is_open()
    AND octet_length(m.metadata ->> 'correlation_id') <= 255
    AND ((m.metadata ->> 'correlation_id') COLLATE "C", m.global_position)
      > (read_correlated.correlation_id, after_position)
    AND ((m.metadata ->> 'correlation_id') COLLATE "C", m.global_position)
      <= (read_correlated.correlation_id, 9223372036854775807)
  ORDER BY (m.metadata ->> 'correlation_id') COLLATE "C", m.global_position
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION read_correlated(text, bigint, bigint) IS
$$Return the messages whose metadata has this "correlation_id", a text of 1 to 255 bytes, at its top
level, in global order, at most max_count, after after_position. Reads what is committed, also on a
standby and under every isolation level, and not only up to the safe position: a message that
commits later can come before the last one that was read. To follow them use read_matching. Raises
22023 for a bad argument, 55000 if the index of correlation ids is missing: an upgrade does not
build it on a large table.$$;
