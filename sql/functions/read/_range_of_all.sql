CREATE OR REPLACE FUNCTION _range_of_all(
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text,
  metadata jsonb DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
    r.tags
  FROM (
    SELECT
      m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at, m.tags,
      m.stream_id
    FROM messages AS m
    -- As _stream_of, whose other columns would be one more step for each message.
    CROSS JOIN LATERAL (
      SELECT i.stream FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    WHERE m.global_position > _range_of_all.after_position
      AND m.global_position <= _range_of_all.up_to_position
      AND (_range_of_all.types IS NULL OR m.type = ANY (_range_of_all.types COLLATE "C"))
      AND (_range_of_all.metadata IS NULL OR m.metadata @> _range_of_all.metadata)
    ORDER BY m.global_position
    -- Filters that need more of a message than its stream's id come after the look-up: otherwise
    -- the planner could not remember names by id.
    OFFSET 0
  ) AS r
  WHERE (
      _range_of_all.stream_pattern IS NULL
      OR r.stream LIKE _range_of_all.stream_pattern COLLATE "C"
    )
    AND (
      _range_of_all.partitions IS NULL
      OR _range_of_all.partition = CASE
        WHEN _range_of_all.partition_by = 'stream'
          THEN _stream_partition(r.stream_id, _range_of_all.partitions)
        ELSE _partition_of(
          r.stream_id, r.stream, r.metadata, _range_of_all.partitions,
          _range_of_all.partition_by
        )
      END
    )
  ORDER BY r.global_position
  LIMIT _range_of_all.max_count;
END;

COMMENT ON FUNCTION _range_of_all(
  bigint, bigint, bigint, text[], text, bigint, bigint, text, jsonb
) IS
$$Internal: messages between two positions in global order, with filters that NULL leaves out.
Inlined into its callers, which have the planner walk along the index, hence without settings of its
own.$$;
