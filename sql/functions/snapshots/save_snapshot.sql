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
  IF coalesce(octet_length(stream), 0) = 0 THEN
    PERFORM _refuse_value('stream', 'must be the name of a stream', to_jsonb(stream));
  ELSIF (octet_length(snapshot) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value('snapshot', 'must have 1 to 255 bytes', to_jsonb(snapshot));
  ELSIF code_version IS NULL THEN
    PERFORM _refuse_argument('code_version', 'must be a number, not NULL');
  ELSIF (version >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('version', 'must be 1 or more', to_jsonb(version));
  ELSIF state IS NULL THEN
    PERFORM _refuse_argument('state', 'must be a JSON value, not NULL');
  ELSIF _payload_problem(state) IS NOT NULL THEN
    PERFORM _refuse_argument('state', _payload_problem(state));
  ELSIF changes IS NULL THEN
    PERFORM _refuse_argument('changes', 'must be the number that load_stream gave, not NULL');
  END IF;
  -- On a standby, for example: the caller has its state without it.
  IF current_setting('transaction_read_only') = 'on' THEN
    RETURN false;
  END IF;
  -- Before the lock, which would tell a role about a stream that it may not write to.
  PERFORM _refuse_target(stream, NULL);
  PERFORM _refuse_isolation();
  -- A session that deletes or redacts messages holds this lock. Do not wait for it, nor for a
  -- writer: a later reader saves a snapshot.
  IF NOT pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C")) THEN
    RETURN false;
  END IF;
  -- A statement of its own: it sees all that was committed before the lock was free.
  INSERT INTO snapshots AS n (stream_id, code_version, version, added_at, snapshot, state)
  SELECT
    s.stream_id, save_snapshot.code_version, save_snapshot.version, clock_timestamp(),
    save_snapshot.snapshot, save_snapshot.state
  FROM streams AS s
  LEFT JOIN LATERAL _last_version(s.stream_id) AS l (version) ON true
  WHERE s.stream = save_snapshot.stream COLLATE "C"
    AND save_snapshot.changes = coalesce(
      (SELECT c.changes FROM stream_changes AS c WHERE c.stream_id = s.stream_id), 0
    )
    AND save_snapshot.version BETWEEN s.floor AND coalesce(l.version, s.floor)
  ON CONFLICT (stream_id, snapshot, code_version) DO UPDATE
  SET version = excluded.version, added_at = excluded.added_at, state = excluded.state
  WHERE n.version < excluded.version;
  RETURN FOUND;
END
$$;

COMMENT ON FUNCTION save_snapshot(text, text, bigint, bigint, jsonb, bigint) IS
$$Save the state that code of this name and version has made of a stream's messages up to a version;
changes is the number that load_stream gave with them. Only the last state is kept. Answers false,
and saves nothing, if a later state is there, if messages were redacted or the stream was deleted
since, if the stream does not have the version, or if another transaction has locked the stream. So
it does in a transaction that only reads, as on a standby. Locks the stream against writers until
the transaction ends. Raises 22023 for a bad argument; 42501 if the role may not write to the
stream's category; MS004 unless under READ COMMITTED.$$;
