CREATE OR REPLACE FUNCTION _refuse_condition(
  global_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  newer record;
BEGIN
  SELECT m.message_id, m.global_position, m.version, m.type, s.stream, s.category INTO newer
  FROM _message_at(_refuse_condition.global_position) AS m
  CROSS JOIN LATERAL _stream_of(m.stream_id) AS s;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'serialization_failure',
      MESSAGE = format('the message at position %s was deleted meanwhile', global_position),
      HINT = 'Try again. Nothing was stored.';
  END IF;
  IF _writers_restricted() AND NOT _may_write(_acting_role(), newer.category) THEN
    -- Do not reveal the stream, or what is in it, to a role that may not write to it.
    newer.stream := '';
    newer.version := 0;
    newer.type := '';
  END IF;
  RAISE EXCEPTION USING
    ERRCODE = 'MS009',
    MESSAGE = format(
      'a message%s has come at position %s since the decision',
      ' of type ' || nullif(newer.type, ''), newer.global_position
    ),
    DETAIL = json_build_object(
      'message_id', newer.message_id, 'stream', newer.stream, 'version', newer.version,
      'global_position', newer.global_position, 'type', newer.type
    )::text,
    HINT = 'Read again, decide again, and write with the token of that reading. '
      'Nothing was stored.';
END
$$;

COMMENT ON FUNCTION _refuse_condition(bigint) IS
$$Internal: raise MS009 for the first message that has come since a decision, and matches its
condition; 40001 if it was deleted since the caller looked.$$;
