CREATE OR REPLACE FUNCTION message_store.stream_version(
  stream_name varchar
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Without the right, the name below would not be known.
  PERFORM message_store._reader_is_allowed();
  RETURN nullif(stream_version(stream_name), 0) - 1;
END
$$;

COMMENT ON FUNCTION message_store.stream_version(varchar) IS
$$Return the position of the stream's last message, also if that was cut off since; NULL if nothing
was ever written to it.$$;
