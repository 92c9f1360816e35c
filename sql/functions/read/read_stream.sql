CREATE OR REPLACE FUNCTION read_stream(
  stream text,
  from_version bigint DEFAULT NULL,
  max_count bigint DEFAULT 1000,
  backward boolean DEFAULT false
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source_id bigint;
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  ELSIF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  ELSIF backward IS NULL THEN
    PERFORM _refuse_value('backward', 'must be true or false', to_jsonb(backward));
  END IF;

  SELECT s.stream_id INTO source_id
  FROM streams AS s
  WHERE _is_open() AND s.stream = read_stream.stream COLLATE "C";

  IF backward THEN
    RETURN QUERY
    SELECT
      m.message_id, read_stream.stream, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at, m.tags
    FROM messages AS m
    WHERE m.stream_id = source_id
      AND m.version <= coalesce(from_version, 9223372036854775807)
    ORDER BY m.version DESC
    LIMIT max_count;
  ELSE
    RETURN QUERY
    SELECT
      m.message_id, read_stream.stream, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at, m.tags
    FROM messages AS m
    WHERE m.stream_id = source_id
      AND m.version >= coalesce(from_version, 0)
    ORDER BY m.version
    LIMIT max_count;
  END IF;
END
$$;

COMMENT ON FUNCTION read_stream(text, bigint, bigint, boolean) IS
$$Messages of a stream in the order of their versions, at most max_count, from from_version on
(inclusive); without it from the first message, or backward from the last. Of a stream that was cut
off, what is left. Nothing if the stream is empty. Raises 22023 for a bad argument.$$;
