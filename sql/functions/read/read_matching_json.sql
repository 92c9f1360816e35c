CREATE OR REPLACE FUNCTION read_matching_json(
  metadata_filter jsonb DEFAULT NULL,
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  categories text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL,
  max_looked bigint DEFAULT 10000,
  tags_filter text[] DEFAULT NULL
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
      -- As in read_page_json. The last row says itself whether there is more to look at.
      'reached_position', coalesce(max(p.reached_position), max(p.global_position)),
      'looked_position', coalesce(max(p.looked_position), max(p.global_position)),
      'more', coalesce(bool_or(p.more), true),
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
    FROM read_matching(
      metadata_filter, after_position, max_count, types, categories, stream_pattern, partition,
      partitions, partition_by, up_to_position, max_looked, tags_filter
    ) AS p
  );
END
$$;

COMMENT ON FUNCTION read_matching_json(
  jsonb, bigint, bigint, text[], text[], text, bigint, bigint, text, bigint, bigint, text[]
) IS
$$Return a page of messages with certain metadata or tags, as read_matching, in the JSON object of
read_page_json. more is true also if there are no messages yet in what this call has looked at.
Errors as read_all.$$;
