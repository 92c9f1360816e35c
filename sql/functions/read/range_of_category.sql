CREATE OR REPLACE FUNCTION range_of_category(
  category text,
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at
  FROM (
    SELECT
      m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
      m.stream_id, m.category_key
    FROM messages AS m
    -- LIMIT keeps this one look-up for each message, whatever the planner thinks of the sizes.
    CROSS JOIN LATERAL (
      SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    -- Rows are compared, and ordered by both, because only the category's index can do that: for a
    -- plain range the planner may walk along all messages (tests/plans).
    WHERE (m.category_key, m.global_position)
        > (category_key(range_of_category.category), range_of_category.after_position)
      AND (m.category_key, m.global_position)
        <= (category_key(range_of_category.category), range_of_category.up_to_position)
      AND s.category = range_of_category.category
      AND (range_of_category.types IS NULL OR m.type = ANY (range_of_category.types COLLATE "C"))
    ORDER BY m.category_key, m.global_position
    OFFSET 0  -- as in range_of_all
  ) AS r
  WHERE (
      range_of_category.stream_pattern IS NULL
      OR r.stream LIKE range_of_category.stream_pattern COLLATE "C"
    )
    AND (
      range_of_category.partitions IS NULL
      OR range_of_category.partition = partition_of(
        r.stream_id, r.stream, r.metadata, range_of_category.partitions,
        range_of_category.partition_by
      )
    )
  ORDER BY r.category_key, r.global_position
  LIMIT range_of_category.max_count;
END;

COMMENT ON FUNCTION range_of_category(
  text, bigint, bigint, bigint, text[], text, bigint, bigint, text
) IS
$$Internal: as range_of_all, of one category, by its index.$$;
