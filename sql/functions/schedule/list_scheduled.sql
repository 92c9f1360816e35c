CREATE OR REPLACE FUNCTION list_scheduled(
  of_stream text DEFAULT NULL,
  max_count bigint DEFAULT 1000
)
RETURNS TABLE (
  message_id uuid,
  due_at timestamptz,
  stream text,
  type text,
  data jsonb,
  metadata jsonb,
  scheduled_at timestamptz,
  tags text[]
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
-- So that the planner knows whether a stream is given, and looks it up by its index.
SET plan_cache_mode = force_custom_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF octet_length(of_stream) = 0 THEN
    PERFORM _refuse_value(
      'of_stream', 'must be the name of a stream, or NULL for all', to_jsonb(of_stream)
    );
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;
  RETURN QUERY
  SELECT d.message_id, d.due_at, d.stream, d.type, d.data, d.metadata, d.scheduled_at,
    d.tags
  FROM scheduled_messages AS d
  WHERE _is_open()
    AND (of_stream IS NULL OR d.stream = of_stream COLLATE "C")
  ORDER BY d.due_at, d.scheduled_position
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION list_scheduled(text, bigint) IS
$$Return the scheduled messages of a stream (NULL: of all streams), max_count at most, in the order
in which they will be delivered. Raises 22023 for a bad argument.$$;
