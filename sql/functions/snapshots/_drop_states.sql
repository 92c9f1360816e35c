CREATE OR REPLACE FUNCTION _drop_states(
  stream_id bigint,
  from_version bigint
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  dropped bigint;
BEGIN
  INSERT INTO stream_changes AS c (stream_id, changes)
  VALUES (_drop_states.stream_id, 1)
  ON CONFLICT (stream_id) DO UPDATE SET changes = c.changes + 1;
  DELETE FROM snapshots AS n
  WHERE n.stream_id = _drop_states.stream_id AND n.version >= from_version;
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END
$$;

COMMENT ON FUNCTION _drop_states(bigint, bigint) IS
$$Internal: drop the snapshots of a stream that hold this version, and refuse those that are made of
messages as they were until now. The caller holds the stream's lock.$$;
