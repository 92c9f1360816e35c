CREATE OR REPLACE FUNCTION _create_stream(
  stream text,
  OUT stream_id bigint,
  OUT category_key bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The table of messages before that of streams, as a transaction that has written before, and as
  -- an import that locks both.
  LOCK TABLE messages IN ROW EXCLUSIVE MODE;
  -- The caller holds the stream's lock, so nobody else creates it now. A conflict means that this
  -- transaction's snapshot is older than the stream: then this raises 40001.
  INSERT INTO streams AS s (stream_id, category_key, stream, category)
  VALUES (
    nextval('stream_id_seq'),
    _category_key(category(_create_stream.stream)),
    _create_stream.stream,
    category(_create_stream.stream)
  )
  ON CONFLICT DO NOTHING
  RETURNING s.stream_id, s.category_key INTO _create_stream.stream_id, _create_stream.category_key;
  IF stream_id IS NULL THEN
    PERFORM _refuse_sequences();
    -- An import that keeps positions locks the tables, not the streams.
    RAISE EXCEPTION USING
      ERRCODE = 'serialization_failure',
      MESSAGE = format('stream %s was imported meanwhile', stream),
      HINT = 'Try again.';
  END IF;
END
$$;

COMMENT ON FUNCTION _create_stream(text) IS
$$Internal: intern a stream that does not exist yet. The caller holds the stream's lock. Raises
40001 if the stream came into being after the transaction's snapshot, or since the caller looked;
MS007 if the id that was drawn is in use.$$;
