CREATE OR REPLACE FUNCTION _drop_states(
  stream_id bigint,
  from_version bigint
)
RETURNS void
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
  DELETE FROM snapshots AS n
  WHERE n.stream_id = _drop_states.stream_id AND n.version >= from_version;
  INSERT INTO stream_changes AS c (stream_id, changes)
  VALUES (_drop_states.stream_id, 1)
  ON CONFLICT (stream_id) DO UPDATE SET changes = c.changes + 1;
END
$$;

COMMENT ON FUNCTION _drop_states(bigint, bigint) IS
$$Internal: drop the snapshots of a stream that have this version in them, and have save_snapshot
refuse states of its messages as they were until now. The caller holds the stream's lock.$$;
