CREATE OR REPLACE FUNCTION load_stream(
  stream text,
  snapshot text DEFAULT NULL,
  code_version bigint DEFAULT NULL,
  to_version bigint DEFAULT NULL,
  to_time timestamptz DEFAULT NULL,
  max_count bigint DEFAULT 1000,
  known_message_id uuid DEFAULT NULL,
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
  source record;
  upper_version bigint := coalesce(to_version, 9223372036854775807);
  is_early boolean := false;
  saved_version bigint;
  saved_id uuid;
  saved_state jsonb;
BEGIN
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  ELSIF upper_version < 0 THEN
    PERFORM _refuse_value('to_version', 'must be 0 or more', to_jsonb(to_version));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  ELSIF octet_length(snapshot) NOT BETWEEN 1 AND 255 THEN
    PERFORM _refuse_value('snapshot', 'must have 1 to 255 bytes', to_jsonb(snapshot));
  ELSIF (snapshot IS NULL) <> (code_version IS NULL) THEN
    PERFORM _refuse_argument('code_version', 'must be given with snapshot, both or none');
  ELSIF known_message_id IS NOT NULL AND known_changes IS NULL THEN
    PERFORM _refuse_argument('known_changes', 'must be given with known_message_id');
  END IF;

  -- Not a join, which could walk along a table that the planner thinks is small.
  SELECT
    s.stream_id,
    s.floor,
    coalesce(
      (SELECT c.changes FROM stream_changes AS c WHERE c.stream_id = s.stream_id), 0
    ) AS changes
  INTO source
  FROM streams AS s
  WHERE _is_open() AND s.stream = load_stream.stream COLLATE "C";

  IF to_time IS NOT NULL THEN
    upper_version := least(
      upper_version,
      (
        SELECT m.version - 1
        FROM messages AS m
        WHERE m.stream_id = source.stream_id AND m.added_at > to_time
        ORDER BY m.version
        LIMIT 1
      )
    );
    -- Messages that were deleted may have been added after that time: nobody knows any more.
    is_early := source.floor > 0 AND NOT EXISTS (
      SELECT
      FROM messages AS m
      WHERE m.stream_id = source.stream_id
        AND m.version = source.floor + 1
        AND m.added_at <= to_time
    );
  END IF;

  -- The caller's state, if the stream still has its last message and none before it was changed.
  IF known_changes = source.changes THEN
    SELECT m.version, m.message_id INTO saved_version, saved_id
    FROM messages AS m
    WHERE m.message_id = known_message_id
      AND m.stream_id = source.stream_id
      AND m.version <= upper_version;
  END IF;
  IF saved_version IS NULL AND snapshot IS NOT NULL THEN
    SELECT n.version, n.state INTO saved_version, saved_state
    FROM snapshots AS n
    WHERE n.stream_id = source.stream_id
      AND n.snapshot = load_stream.snapshot COLLATE "C"
      AND n.code_version = load_stream.code_version
      AND n.version BETWEEN source.floor AND upper_version;
  END IF;
  IF is_early OR coalesce(saved_version, 0) < source.floor THEN
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
    saved_id, coalesce(saved_version, 0), NULL::bigint, NULL::text, saved_state, NULL::jsonb,
    NULL::timestamptz, coalesce(source.changes, 0);
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

COMMENT ON FUNCTION load_stream(text, text, bigint, bigint, timestamptz, bigint, uuid, bigint) IS
$$Return what the state of a stream is made of, up to to_version (NULL: the last one) and up to the
last message before the first one that was added after to_time. The first row has no type: its data
is the snapshot of this name and code_version, and its version the version that the snapshot stands
for; without a snapshot NULL and 0. Its changes is the number that save_snapshot takes. The messages
after it follow, at most max_count. In the first row global_position, type, metadata and added_at
are NULL; in the others changes is. A caller that has a state already passes the id of its last
message as known_message_id, and the changes that came with it. If no message up to there was
changed since, the first row has that id and no data, and only the messages after it follow. Raises
22023 for a bad argument; MS008 if the beginning of the stream was deleted and no snapshot has it,
or not at that version or time.$$;
