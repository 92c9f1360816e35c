CREATE OR REPLACE FUNCTION message_store.get_last_stream_message(
  stream_name varchar,
  "type" varchar DEFAULT NULL
)
RETURNS SETOF message_store.message
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM message_store._reader_is_allowed();
  -- The store refuses such a name; Message DB finds nothing.
  IF coalesce(stream_name, '') = '' THEN
    RETURN;
  END IF;
  RETURN QUERY
  SELECT
    m.message_id::varchar, m.stream::varchar, m.type::varchar, m.version - 1, m.global_position,
    nullif(m.data, 'null')::varchar, m.metadata::varchar, m.added_at AT TIME ZONE 'UTC'
  FROM last_message(stream_name, get_last_stream_message."type") AS m;
END
$$;

COMMENT ON FUNCTION message_store.get_last_stream_message(varchar, varchar) IS
$$Return the last message of a stream, or its last one of a type; no row if there is none.$$;
