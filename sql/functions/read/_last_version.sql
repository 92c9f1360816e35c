CREATE OR REPLACE FUNCTION _last_version(
  stream_id bigint
)
RETURNS SETOF bigint
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT m.version
  FROM messages AS m
  WHERE m.stream_id = _last_version.stream_id
  ORDER BY m.version DESC
  LIMIT 1;
END;

COMMENT ON FUNCTION _last_version(bigint) IS
$$Internal: return the version of a stream's last message; no row if none is left. Inlined into its
callers, hence without settings of its own.$$;
