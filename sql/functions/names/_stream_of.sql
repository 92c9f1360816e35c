CREATE OR REPLACE FUNCTION _stream_of(
  stream_id bigint
)
RETURNS SETOF streams
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  -- LIMIT keeps this one look-up, whatever the planner thinks of the sizes.
  SELECT s.*
  FROM streams AS s
  WHERE s.stream_id = _stream_of.stream_id
  LIMIT 1;
END;

COMMENT ON FUNCTION _stream_of(bigint) IS
$$Internal: return the row of the stream with an internal id. Inlined into its callers, hence
without settings of its own.$$;
