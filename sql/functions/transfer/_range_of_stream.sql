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
    r.message_id, _range_of_stream.stream, r.version, r.global_position, r.type, r.data, r.metadata,
    r.added_at, r.tags
  FROM (
    SELECT
      m.message_id, m.stream_id, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at, m.tags
    FROM messages AS m
    -- Rows are compared as in _range_of_category.
    WHERE (m.stream_id, m.version) > (
        (SELECT s.stream_id FROM streams AS s WHERE s.stream = _range_of_stream.stream COLLATE "C"),
        -- Where the page before ended: its last message is at after_position.
        coalesce(
          (
            SELECT CASE
              WHEN b.stream_id = (
                SELECT s.stream_id
                FROM streams AS s
                WHERE s.stream = _range_of_stream.stream COLLATE "C"
              ) THEN b.version
            END
            FROM _message_at(_range_of_stream.after_position) AS b
          ),
          0
        )
      )
      AND (m.stream_id, m.version) <= (
        (SELECT s.stream_id FROM streams AS s WHERE s.stream = _range_of_stream.stream COLLATE "C"),
        9223372036854775807
      )
    ORDER BY m.stream_id, m.version
    -- Otherwise the planner may walk along all positions between the two.
    OFFSET 0
  ) AS r
  WHERE r.global_position > _range_of_stream.after_position
    AND r.global_position <= _range_of_stream.up_to_position
  ORDER BY r.stream_id, r.version
  LIMIT _range_of_stream.max_count;
END;

COMMENT ON FUNCTION _range_of_stream(text, bigint, bigint, bigint) IS
$$Internal: messages of a stream between two positions, in order. Inlined into its callers, hence
without settings of its own.$$;
