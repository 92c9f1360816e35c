CREATE OR REPLACE FUNCTION _import_version(
  stream text
)
RETURNS TABLE (
  stream_id bigint,
  category_key bigint,
  version bigint
)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    s.stream_id,
    s.category_key,
    greatest(s.floor, (SELECT l.version FROM _last_version(s.stream_id) AS l (version)))
  FROM streams AS s
  WHERE s.stream = _import_version.stream COLLATE "C"
  LIMIT 1;
END;

COMMENT ON FUNCTION _import_version(text) IS
$$Internal: a stream, if it exists, and the version it is at: that of its last message, or its
floor. Inlined into its callers.$$;
