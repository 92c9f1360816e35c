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
    (SELECT v.version FROM _import_version(stream_version.stream) AS v WHERE _is_open()), 0
  );
END
$$;

COMMENT ON FUNCTION stream_version(text) IS
$$Version of the stream's last message, also if that was cut off since; 0 if nothing was ever
written to the stream.$$;
