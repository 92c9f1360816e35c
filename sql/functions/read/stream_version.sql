CREATE OR REPLACE FUNCTION stream_version(
  stream text
)
RETURNS bigint
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
BEGIN
  RETURN coalesce(
    (
      -- Not a join: for one the planner may sort the whole stream.
      SELECT m.version
      FROM messages AS m
      WHERE _in_store() AND m.stream_id = (
        SELECT s.stream_id FROM streams AS s WHERE s.stream = stream_version.stream COLLATE "C"
      )
      ORDER BY m.version DESC
      LIMIT 1
    ),
    (SELECT s.floor FROM streams AS s WHERE s.stream = stream_version.stream COLLATE "C"),
    0
  );
END
$$;

COMMENT ON FUNCTION stream_version(text) IS
$$Version of the stream's last message, also if that was cut off since; 0 if nothing was ever
written to the stream.$$;
