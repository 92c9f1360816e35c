CREATE OR REPLACE FUNCTION _lock_stream(
  stream text,
  OUT stream_id bigint,
  OUT version bigint,
  OUT floor bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_isolation();
  -- In the order of apply_retention: the policy, which _cut_stream changes, and then the stream.
  PERFORM FROM retention_policies AS p WHERE p.category = category(stream) FOR UPDATE;
  -- The lock of the stream's writers: none of them computes a version meanwhile.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C"));
  -- One statement, as in write_arrays.
  SELECT s.stream_id, s.floor, coalesce(l.version, s.floor)
  INTO _lock_stream.stream_id, _lock_stream.floor, _lock_stream.version
  FROM streams AS s
  LEFT JOIN LATERAL _last_version(s.stream_id) AS l (version) ON true
  -- A closed store raises here: another stream, or another version, may be at its new place.
  WHERE _is_open() AND s.stream = _lock_stream.stream COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _refuse_value(
      'stream', 'must be the name of a stream that was written to', to_jsonb(stream)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _lock_stream(text) IS
$$Internal: lock a stream against writers until the transaction ends, and tell its version and
floor. Raises 22023 if there is no such stream, MS004 unless under READ COMMITTED.$$;
