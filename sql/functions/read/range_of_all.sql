CREATE OR REPLACE FUNCTION range_of_all(
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
      m.stream_id
    FROM messages AS m
    -- LIMIT keeps this one look-up for each message, whatever the planner thinks of the sizes.
    CROSS JOIN LATERAL (
      SELECT i.stream FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    WHERE m.global_position > range_of_all.after_position
      AND m.global_position <= range_of_all.up_to_position
      AND (range_of_all.types IS NULL OR m.type = ANY (range_of_all.types COLLATE "C"))
    ORDER BY m.global_position
    -- What needs more of a message than its stream's id comes after the look-up: so names can be
    -- remembered by id.
    OFFSET 0
  ) AS r
  WHERE (
      range_of_all.stream_pattern IS NULL
      OR r.stream LIKE range_of_all.stream_pattern COLLATE "C"
    )
    AND (
      range_of_all.partitions IS NULL
      OR range_of_all.partition = partition_of(
        r.stream_id, r.stream, r.metadata, range_of_all.partitions, range_of_all.partition_by
      )
    )
  ORDER BY r.global_position
  LIMIT range_of_all.max_count;
END;

COMMENT ON FUNCTION range_of_all(bigint, bigint, bigint, text[], text, bigint, bigint, text) IS
$$Internal: messages between two positions in global order, with filters that NULL leaves out.
Inlined into its callers, which have the planner walk along the index, hence without settings of its
own.$$;
