CREATE OR REPLACE FUNCTION load_stream(
  stream text,
  snapshot text DEFAULT NULL,
  code_version bigint DEFAULT NULL,
  to_version bigint DEFAULT NULL,
  max_count bigint DEFAULT 1000,
  known_version bigint DEFAULT NULL,
  known_position bigint DEFAULT NULL,
  known_changes bigint DEFAULT NULL
)
RETURNS TABLE (
  message_id uuid,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  changes bigint
)
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
  upper_version bigint := coalesce(to_version, 9223372036854775807);
  source record;
  saved_version bigint;
  saved_position bigint;
  saved_state jsonb;
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  ELSIF (upper_version >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('to_version', 'must be 0 or more', to_jsonb(to_version));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;

  SELECT s.stream_id, s.floor, coalesce(c.changes, 0) AS changes INTO source
  FROM streams AS s
  LEFT JOIN stream_changes AS c ON c.stream_id = s.stream_id
  WHERE _in_store() AND s.stream = load_stream.stream COLLATE "C";

  -- What the caller has, if the stream still has that message and none before it was changed.
  IF known_version <= upper_version AND known_changes = source.changes THEN
    SELECT m.version, m.global_position INTO saved_version, saved_position
    FROM messages AS m
    WHERE m.stream_id = source.stream_id
      AND m.version = known_version
      AND m.global_position = known_position;
  END IF;
  IF saved_version IS NULL AND snapshot IS NOT NULL THEN
    SELECT n.version, n.state INTO saved_version, saved_state
    FROM snapshots AS n
    WHERE n.stream_id = source.stream_id
      AND n.snapshot = load_stream.snapshot COLLATE "C"
      AND n.code_version = load_stream.code_version
      AND n.version BETWEEN source.floor AND upper_version;
  END IF;
  IF coalesce(saved_version, 0) < source.floor THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS008',
      MESSAGE = format(
        'the messages of stream %s up to version %s were deleted, and no snapshot has them',
        stream, source.floor
      ),
      DETAIL = json_build_object('stream', stream, 'floor', source.floor)::text,
      HINT = 'Its state cannot be made of the messages that are left. Read them with read_stream.';
  END IF;

  RETURN QUERY SELECT
    NULL::uuid, coalesce(saved_version, 0), saved_position, NULL::text, saved_state,
    NULL::jsonb, NULL::timestamptz, coalesce(source.changes, 0);
  RETURN QUERY
  SELECT
    m.message_id, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
    NULL::bigint
  FROM messages AS m
  WHERE m.stream_id = source.stream_id
    AND m.version > coalesce(saved_version, 0)
    AND m.version <= upper_version
  ORDER BY m.version
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION load_stream(text, text, bigint, bigint, bigint, bigint, bigint, bigint) IS
$$What the state of a stream is made of, up to to_version (NULL: the last one). First a row without a
message: in data the snapshot of this name and code_version, in version the version that it stands
for; without one NULL and 0. In changes, what save_snapshot takes. Then the messages after it, at
most max_count. If the caller has a state already, known_version and known_position tell its last
message and known_changes the changes of the row it came with; if the stream has had no other since,
version is known_version and data NULL. Raises 22023 for a bad argument; MS008 if the beginning of
the stream was deleted and no snapshot has it.$$;
