CREATE OR REPLACE FUNCTION read_page(
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
RETURNS TABLE (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  reached_position bigint,
  looked_position bigint,
  tags text[]
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  found_count bigint;
BEGIN
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;
  PERFORM _refuse_filter(partition, partitions, partition_by, stream_pattern);
  -- A statement of its own, before the one that reads: its snapshot must be the later one.
  safe := (horizon()).safe_position;
  -- Afterwards: a standby can be promoted in between.
  PERFORM _refuse_isolation();
  IF after_position > safe THEN
    PERFORM _refuse_position(after_position);
  END IF;
  safe := greatest(least(safe, up_to_position), after_position);
  IF categories IS NULL THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
      r.added_at,
      NULL::bigint, NULL::bigint, r.tags
    FROM _range_of_all(
      after_position, safe, max_count, types, stream_pattern, partition, partitions, partition_by
    ) AS r;
  ELSIF cardinality(categories) = 1 AND categories[1] IS NOT NULL THEN
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
      r.added_at,
      NULL::bigint, NULL::bigint, r.tags
    FROM _range_of_category(
      categories[1], after_position, safe, max_count, types, stream_pattern, partition, partitions,
      partition_by
    ) AS r;
  ELSE
    RETURN QUERY
    SELECT
      r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
      r.added_at,
      NULL::bigint, NULL::bigint, r.tags
    FROM _range_of_several(
      categories, after_position, safe, max_count, types, stream_pattern, partition, partitions,
      partition_by
    ) AS r;
  END IF;

  GET DIAGNOSTICS found_count = ROW_COUNT;
  IF found_count < max_count THEN
    reached_position := greatest(_last_visible(safe), after_position);
    looked_position := safe;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION read_page(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
) IS
$$Read as read_all, for a program that follows with filters. If there are fewer than max_count
messages, a last row without a message has two positions. reached_position is the one to continue
after: messages that the filters leave out up to there are not looked at again, and a reader can
store it. looked_position is how far this call has looked, which can be further if the last writers
rolled back: a reader that waits compares it with horizon(), and does not store it. Errors as
read_all.$$;
