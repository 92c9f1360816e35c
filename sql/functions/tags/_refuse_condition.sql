CREATE OR REPLACE FUNCTION _refuse_condition(
  condition jsonb,
  decided_upon text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  newer record;
BEGIN
  SELECT m.message_id, m.global_position, m.version, m.type, s.stream, s.category INTO newer
  FROM _matches(
    condition,
    split_part(decided_upon, '+', 1)::bigint,
    string_to_array(split_part(decided_upon, '+', 2), ',')::bigint[]
  ) AS f
  JOIN messages AS m USING (global_position)
  JOIN streams AS s USING (stream_id)
  ORDER BY m.global_position
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  ELSIF _writers_restricted() AND NOT _may_write(_acting_role(), newer.category) THEN
    -- Do not reveal the stream to a role that may not write to it.
    newer.stream := '';
    newer.version := 0;
  END IF;
  RAISE EXCEPTION USING
    ERRCODE = 'MS009',
    MESSAGE = format(
      'a message of type %s has come at position %s since the decision', newer.type,
      newer.global_position
    ),
    DETAIL = json_build_object(
      'message_id', newer.message_id, 'stream', newer.stream, 'version', newer.version,
      'global_position', newer.global_position, 'type', newer.type
    )::text,
    HINT = 'Read again, decide again, and write with the token of that reading. Nothing was stored.';
END
$$;

COMMENT ON FUNCTION _refuse_condition(jsonb, text) IS
$$Internal: raise MS009 for the first message that matches a condition and that the decision did not
know. The caller holds the locks of the condition's tags.$$;
