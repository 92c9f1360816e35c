CREATE OR REPLACE FUNCTION _range_of_stream(
  stream text,
  after_position bigint,
  up_to_position bigint,
  max_count bigint
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    m.message_id, _range_of_stream.stream, m.version, m.global_position, m.type, m.data, m.metadata,
    m.added_at, m.tags
  FROM messages AS m
  WHERE m.stream_id = (
      SELECT s.stream_id FROM streams AS s WHERE s.stream = _range_of_stream.stream COLLATE "C"
    )
    -- Where the page before ended: its last message is at after_position.
    AND m.version > coalesce(
      (
        SELECT CASE
          WHEN b.stream_id = (
            SELECT t.stream_id FROM streams AS t
            WHERE t.stream = _range_of_stream.stream COLLATE "C"
          ) THEN b.version
        END
        FROM messages AS b
        -- As in _range_of_tags.
        WHERE b.global_position >= _range_of_stream.after_position
          AND b.global_position <= _range_of_stream.after_position
        ORDER BY b.global_position
        LIMIT 1
      ),
      0
    )
    AND m.global_position > _range_of_stream.after_position
    AND m.global_position <= _range_of_stream.up_to_position
  ORDER BY m.version
  LIMIT _range_of_stream.max_count;
END;

COMMENT ON FUNCTION _range_of_stream(text, bigint, bigint, bigint) IS
$$Internal: messages of a stream between two positions, in order. Inlined into its callers, hence
without settings of its own.$$;
