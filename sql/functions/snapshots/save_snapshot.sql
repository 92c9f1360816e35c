CREATE OR REPLACE FUNCTION save_snapshot(
  stream text,
  snapshot text,
  code_version bigint,
  version bigint,
  state jsonb,
  changes bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  IF (octet_length(snapshot) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value('snapshot', 'must have 1 to 255 bytes', to_jsonb(snapshot));
  ELSIF code_version IS NULL THEN
    PERFORM _refuse_argument('code_version', 'must be a number, not NULL');
  ELSIF (version >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('version', 'must be 1 or more', to_jsonb(version));
  ELSIF state IS NULL THEN
    PERFORM _refuse_argument('state', 'must be a JSON value, not NULL');
  ELSIF _payload_problem(state) IS NOT NULL THEN
    PERFORM _refuse_argument('state', _payload_problem(state));
  END IF;
  PERFORM _refuse_isolation();
  -- Who deletes or redacts messages holds this lock. Not waited for: another reader saves a
  -- snapshot later.
  IF NOT pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C")) THEN
    RETURN false;
  END IF;
  IF _writers_restricted() AND NOT _may_write(_acting_role(), category(stream)) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('role %I may not save snapshots of stream %s', _acting_role(), stream),
      HINT = 'It takes the right to write to the stream''s category.';
  END IF;
  -- A statement of its own: its snapshot is later than the lock.
  INSERT INTO snapshots AS n (stream_id, code_version, version, added_at, snapshot, state)
  SELECT
    s.stream_id, save_snapshot.code_version, save_snapshot.version, clock_timestamp(),
    save_snapshot.snapshot, save_snapshot.state
  FROM streams AS s
  LEFT JOIN stream_changes AS c ON c.stream_id = s.stream_id
  LEFT JOIN LATERAL (
    SELECT m.version
    FROM messages AS m
    WHERE m.stream_id = s.stream_id
    ORDER BY m.version DESC
    LIMIT 1
  ) AS l ON true
  WHERE s.stream = save_snapshot.stream COLLATE "C"
    AND coalesce(c.changes, 0) = save_snapshot.changes
    AND save_snapshot.version BETWEEN s.floor AND coalesce(l.version, s.floor)
  ON CONFLICT (stream_id, snapshot, code_version) DO UPDATE
  SET version = excluded.version, added_at = excluded.added_at, state = excluded.state
  WHERE n.version < excluded.version;
  RETURN FOUND;
END
$$;

COMMENT ON FUNCTION save_snapshot(text, text, bigint, bigint, jsonb, bigint) IS
$$Save the state that code of this name and version has made of a stream's messages up to a version;
changes is the number that load_stream gave with them. Only the last state is kept. False, and
nothing is saved, if a later state is there, if messages were redacted or the stream deleted since,
if the stream does not have the version, or if a writer holds the stream. Raises 22023 for a bad
argument; 42501 if the role may not write to the stream's category; MS004 unless under READ
COMMITTED.$$;
