CREATE OR REPLACE FUNCTION _range_of_category(
  category text,
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
      m.stream_id, m.category_key
    FROM messages AS m
    CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
    -- Rows are compared, and ordered by both, because only the category's index can do that: for a
    -- plain range the planner may walk along all messages (tests/plans).
    WHERE (m.category_key, m.global_position)
        > (_category_key(_range_of_category.category), _range_of_category.after_position)
      AND (m.category_key, m.global_position)
        <= (_category_key(_range_of_category.category), _range_of_category.up_to_position)
      AND s.category = _range_of_category.category
      AND (_range_of_category.types IS NULL OR m.type = ANY (_range_of_category.types COLLATE "C"))
      AND (_range_of_category.metadata IS NULL OR m.metadata @> _range_of_category.metadata)
    ORDER BY m.category_key, m.global_position
    OFFSET 0  -- as in _range_of_all
  ) AS r
  WHERE (
      _range_of_category.stream_pattern IS NULL
      OR r.stream LIKE _range_of_category.stream_pattern COLLATE "C"
    )
    AND (
      _range_of_category.partitions IS NULL
      OR _range_of_category.partition = CASE
        WHEN _range_of_category.partition_by = 'stream'
          THEN _stream_partition(r.stream_id, _range_of_category.partitions)
        ELSE _partition_of(
          r.stream_id, r.stream, r.metadata, _range_of_category.partitions,
          _range_of_category.partition_by
        )
      END
    )
  ORDER BY r.category_key, r.global_position
  LIMIT _range_of_category.max_count;
END;

COMMENT ON FUNCTION _range_of_category(
  text, bigint, bigint, bigint, text[], text, bigint, bigint, text, jsonb
) IS
$$Internal: as _range_of_all, of one category, by its index.$$;
