CREATE OR REPLACE FUNCTION read_page_json(
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  categories text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL
)
RETURNS json
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT json_build_object(
      -- The last row without a message has these two; a full page has no such row.
      'reached_position', coalesce(max(p.reached_position), max(p.global_position)),
      'looked_position', coalesce(max(p.looked_position), max(p.global_position)),
      'more', max(p.looked_position) IS NULL,
      'messages', coalesce(
        json_agg(
          (
            p.message_id, p.stream, p.version, p.global_position, p.type, p.data, p.metadata,
            p.added_at, p.tags
          )::message
          ORDER BY p.global_position
        ) FILTER (WHERE p.message_id IS NOT NULL),
        '[]'
      )
    )
    FROM read_page(
      after_position, max_count, types, categories, stream_pattern, partition, partitions,
      partition_by, up_to_position
    ) AS p
  );
END
$$;

COMMENT ON FUNCTION read_page_json(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
) IS
$$Return a page of messages of all streams, as read_page, in one JSON object: for drivers to which
rows without a message are a burden. It has messages (as in claim_batch_json), reached_position,
looked_position and more. Continue after reached_position, at once if more is true. Otherwise a
reader that waits compares looked_position with the safe position of horizon() or fall_asleep().
Numbers and times are as in claim_batch_json. Errors as read_all.$$;
