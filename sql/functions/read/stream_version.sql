CREATE OR REPLACE FUNCTION stream_version(
  stream text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN coalesce(
    (
      SELECT m.version
      FROM streams AS s
      JOIN messages AS m USING (stream_id)
      WHERE s.stream = stream_version.stream
      ORDER BY m.version DESC
      LIMIT 1
    ),
    0
  );
END
$$;

COMMENT ON FUNCTION stream_version(text) IS
$$Version of the stream's last message; 0 if the stream is empty.$$;
