CREATE OR REPLACE FUNCTION message_store.get_stream_messages(
  stream_name varchar,
  "position" bigint DEFAULT 0,
  batch_size bigint DEFAULT 1000,
  condition varchar DEFAULT NULL
)
RETURNS SETOF message_store.message
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  -- No version is above the limit or below 1: a condition would be asked of each empty thousand.
  from_version bigint :=
    least(greatest(coalesce(get_stream_messages."position", 0), 0), 9223372036854775806) + 1;
  max_count bigint := nullif(coalesce(batch_size, 1000), -1);
  last_version bigint;
  query text;
  found_count bigint;
BEGIN
  IF message_store.is_category(stream_name) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'raise_exception',
      MESSAGE = format('Must be a stream name: %s', coalesce(stream_name, '<NULL>'));
  END IF;
  PERFORM message_store._refuse_condition(condition);
  PERFORM message_store._reader_is_allowed();

  IF condition IS NULL THEN
    RETURN QUERY
    SELECT
      m.message_id::varchar, m.stream::varchar, m.type::varchar, m.version - 1, m.global_position,
      nullif(m.data, 'null')::varchar, m.metadata::varchar, m.added_at AT TIME ZONE 'UTC'
    FROM read_stream(
      stream_name, from_version, greatest(coalesce(max_count, 9223372036854775807), 0)
    ) AS m
    ORDER BY m.version
    LIMIT max_count;  -- refuses a negative number
    RETURN;
  END IF;

  -- A thousand messages at a time, so that the end of a long stream is not read for a small batch.
  -- Versions have no gaps, but a stream that was cut off begins later.
  from_version := coalesce(
    (SELECT m.version FROM read_stream(stream_name, from_version, 1) AS m), from_version
  );
  last_version := stream_version(stream_name);
  query := format(
    $query$
    SELECT
      messages.id::varchar, messages.stream_name::varchar, messages.type::varchar,
      messages.position, messages.global_position, messages.data::varchar,
      messages.metadata::varchar, messages.time
    FROM (
      SELECT
        m.global_position, m.version - 1 AS "position", m.added_at AT TIME ZONE 'UTC' AS "time",
        m.stream AS stream_name, m.type, nullif(m.data, 'null') AS data, m.metadata,
        m.message_id AS id
      FROM %I.read_stream($1, $2, 1000) AS m
    ) AS messages
    WHERE true AND (%s)
    ORDER BY messages.position
    LIMIT $3
    $query$,
    message_store._store(), condition
  );
  -- The condition is SQL of the caller, and runs with the caller's rights. It finds Message DB's
  -- functions by their names, as in the caller's session. The function's end takes the path back.
  PERFORM set_config('search_path', 'message_store, public', true);
  LOOP
    RETURN QUERY EXECUTE query USING stream_name, from_version, max_count;
    GET DIAGNOSTICS found_count = ROW_COUNT;
    max_count := max_count - found_count;
    EXIT WHEN max_count = 0 OR last_version - from_version < 1000;
    from_version := from_version + 1000;
  END LOOP;
END
$$;

COMMENT ON FUNCTION message_store.get_stream_messages(varchar, bigint, bigint, varchar) IS
$$Messages of a stream from a position on, in order, at most batch_size; -1 is no limit. A condition
is an SQL expression on the columns of message_store.messages, taken only if the setting
message_store.sql_condition is on. Raises P0001 if the name is a category's, and for a condition
without the setting; 2201W for a batch_size below -1.$$;
