CREATE OR REPLACE FUNCTION _refuse_version(
  stream text,
  stream_id bigint,
  actual_version bigint,
  expected_version bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF (expected_version <> actual_version) IS NOT TRUE THEN
    -- The place after the version was free, so it was the position that was in use.
    PERFORM _refuse_sequences();
    RAISE EXCEPTION USING
      ERRCODE = 'serialization_failure',
      MESSAGE = format('stream %s was written to without its lock', stream),
      HINT = 'Try again. Write only through the store''s functions.';
  END IF;

  -- A snapshot for the whole transaction may be too old to tell the stream's version. Then the
  -- place after it is taken, and inserting there raises 40001. If not, the row goes with the error
  -- below. For a stream that is not there, creating it tells the same.
  IF current_setting('transaction_isolation') = 'read committed' THEN
    NULL;
  ELSIF stream_id IS NULL THEN
    PERFORM _create_stream(stream);
  ELSE
    -- Or it was written and cut off since, which only its row knows: locking it raises 40001 then.
    PERFORM FROM streams AS s WHERE s.stream_id = _refuse_version.stream_id FOR SHARE;
    INSERT INTO messages (
      global_position, stream_id, version, category_key, added_at, message_id, type, data
    )
    VALUES (
      nextval('global_position_seq'), _refuse_version.stream_id, actual_version + 1, 0,
      clock_timestamp(), gen_random_uuid(), 'probe', 'null'
    )
    ON CONFLICT DO NOTHING;
  END IF;

  RAISE EXCEPTION USING
    ERRCODE = 'MS001',
    MESSAGE = format(
      'stream %s is at version %s, expected version %s', stream, actual_version, expected_version
    ),
    DETAIL = json_build_object(
      'stream', stream, 'expected_version', expected_version, 'actual_version', actual_version
    )::text,
    HINT = 'Read the stream again, decide again, and write with the version you have read. Nothing '
      'was stored.';
END
$$;

COMMENT ON FUNCTION _refuse_version(text, bigint, bigint, bigint) IS
$$Internal: raise MS001, or 40001 if the transaction's snapshot is too old to know the version;
MS007 if a position that was drawn is in use.$$;
