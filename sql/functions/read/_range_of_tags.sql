CREATE OR REPLACE FUNCTION _range_of_tags(
  tag text,
  tags text[],
  categories text[],
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text,
  metadata jsonb
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
      m.message_id, s.stream, m.version, t.global_position, m.type, m.data, m.metadata,
      m.added_at, m.tags,
      m.stream_id, t.tag_key
    FROM message_tags AS t
    CROSS JOIN LATERAL _message_at(t.global_position) AS m
    CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
    -- Rows are compared as in _range_of_category.
    WHERE (t.tag_key, t.global_position)
        > (_tag_key(_range_of_tags.tag), _range_of_tags.after_position)
      AND (t.tag_key, t.global_position)
        <= (_tag_key(_range_of_tags.tag), _range_of_tags.up_to_position)
      -- The texts: two tags may share a key.
      AND m.tags @> _range_of_tags.tags COLLATE "C"
      AND (_range_of_tags.types IS NULL OR m.type = ANY (_range_of_tags.types COLLATE "C"))
      AND (_range_of_tags.metadata IS NULL OR m.metadata @> _range_of_tags.metadata)
      AND (
        _range_of_tags.categories IS NULL
        OR s.category = ANY (_range_of_tags.categories COLLATE "C")
      )
    ORDER BY t.tag_key, t.global_position
    OFFSET 0  -- as in _range_of_all
  ) AS r
  WHERE (
      _range_of_tags.stream_pattern IS NULL
      OR r.stream LIKE _range_of_tags.stream_pattern COLLATE "C"
    )
    AND (
      _range_of_tags.partitions IS NULL
      OR _range_of_tags.partition = CASE
        WHEN _range_of_tags.partition_by = 'stream'
          THEN _stream_partition(r.stream_id, _range_of_tags.partitions)
        ELSE _partition_of(
          r.stream_id, r.stream, r.metadata, _range_of_tags.partitions,
          _range_of_tags.partition_by
        )
      END
    )
  ORDER BY r.tag_key, r.global_position
  LIMIT _range_of_tags.max_count;
END;

COMMENT ON FUNCTION _range_of_tags(
  text, text[], text[], bigint, bigint, bigint, text[], text, bigint, bigint, text, jsonb
) IS
$$Internal: as _range_of_all, of messages that have all of some tags, by the index of one of
them.$$;
