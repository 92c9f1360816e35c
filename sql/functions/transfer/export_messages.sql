CREATE OR REPLACE FUNCTION export_messages(
  after_position bigint,
  up_to_position bigint,
  max_count bigint DEFAULT 1000,
  category text DEFAULT NULL,
  stream text DEFAULT NULL
)
RETURNS TABLE (
  global_position bigint,
  line text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  source_id bigint;
  from_version bigint;
BEGIN
  PERFORM _refuse_stranger('export_messages');
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (up_to_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('up_to_position', 'must be 0 or more', to_jsonb(up_to_position));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;

  IF stream IS NOT NULL THEN
    SELECT s.stream_id INTO source_id
    FROM streams AS s
    WHERE s.stream = export_messages.stream COLLATE "C";
    -- Where the page before ended: its last message is at after_position.
    SELECT m.version INTO from_version
    FROM _message_at(after_position) AS m
    WHERE m.stream_id = source_id;
  END IF;

  RETURN QUERY
  SELECT
    r.global_position,
    '{"stream":' || to_json(r.stream)::text
    || ',"version":' || r.version
    || ',"global_position":' || r.global_position
    || ',"message_id":"' || r.message_id
    || '","added_at":' || to_json(r.added_at)::text
    || ',"type":' || to_json(r.type)::text
    || ',"data":' || r.data::text
    || coalesce(',"metadata":' || r.metadata::text, '')
    || coalesce(',"tags":' || to_json(r.tags)::text, '') || '}'
  FROM (
    -- Of these three, two are empty.
    SELECT a.*
    FROM _range_of_all(after_position, up_to_position, max_count, NULL, NULL, NULL, NULL, 'stream')
      AS a
    WHERE export_messages.category IS NULL AND export_messages.stream IS NULL
    UNION ALL
    SELECT c.*
    FROM _range_of_category(
      export_messages.category, after_position, up_to_position, max_count, NULL, NULL, NULL, NULL,
      'stream'
    ) AS c
    WHERE export_messages.category IS NOT NULL AND export_messages.stream IS NULL
    UNION ALL
    (
      SELECT
        s.message_id, export_messages.stream, s.version, s.global_position, s.type, s.data,
        s.metadata, s.added_at, s.tags
      FROM (
        SELECT
          m.message_id, m.stream_id, m.version, m.global_position, m.type, m.data, m.metadata,
          m.added_at, m.tags
        FROM messages AS m
        -- Rows are compared as in _range_of_category.
        WHERE (m.stream_id, m.version) > (source_id, coalesce(from_version, 0))
          AND (m.stream_id, m.version) <= (source_id, 9223372036854775807)
        ORDER BY m.stream_id, m.version
        -- Otherwise the planner may walk along all positions between the two.
        OFFSET 0
      ) AS s
      WHERE s.global_position > after_position AND s.global_position <= up_to_position
      ORDER BY s.stream_id, s.version
      LIMIT max_count
    )
  ) AS r
  WHERE _is_open();
END
$$;

COMMENT ON FUNCTION export_messages(bigint, bigint, bigint, text, text) IS
$$Messages as JSON objects, in global order: of everything, of a category or of a stream, at most
max_count, after after_position and up to up_to_position. {"stream", "version", "global_position",
"message_id", "added_at", "type", "data", "metadata"?, "tags"?}, with payloads exactly as they are
stored. Read safe_position() first, as a statement of its own, for up_to_position; then begin a
transaction, of REPEATABLE READ if all pages are to be of one moment. Raises 22023 for a bad
argument.$$;
