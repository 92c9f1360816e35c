CREATE OR REPLACE FUNCTION _refuse_import(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  added_at timestamptz[],
  global_positions bigint[],
  tags jsonb[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  IF coalesce(cardinality(streams), 0) = 0 THEN
    PERFORM _refuse_argument('messages', 'must not be empty');
  ELSIF cardinality(versions) IS DISTINCT FROM cardinality(streams)
    OR cardinality(types) IS DISTINCT FROM cardinality(streams)
    OR cardinality(data) IS DISTINCT FROM cardinality(streams)
    OR cardinality(metadata) <> cardinality(streams)
    OR cardinality(message_ids) IS DISTINCT FROM cardinality(streams)
    OR cardinality(added_at) IS DISTINCT FROM cardinality(streams)
    OR cardinality(global_positions) <> cardinality(streams)
    OR cardinality(tags) <> cardinality(streams)
  THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;

  PERFORM _refuse_tags(tags);
  SELECT
    m.n - 1 AS index, r.argument, m.stream, m.version, m.type, m.added_at, m.global_position,
    jsonb_typeof(m.metadata) AS metadata_type,
    CASE
      WHEN m.data IS NOT NULL THEN coalesce(_payload_problem(m.data), _payload_problem(m.metadata))
    END AS problem
  INTO bad
  FROM unnest(
    streams, versions, types, data, metadata, message_ids, added_at, global_positions,
    -- The messages before each.
    ARRAY[0] || global_positions
  ) WITH ORDINALITY AS m (
    stream, version, type, data, metadata, message_id, added_at, global_position, position_before, n
  )
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN octet_length(m.stream) BETWEEN 1 AND 1000 IS NOT TRUE THEN 'stream'
      WHEN m.version >= 1 IS NOT TRUE THEN 'version'
      WHEN octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE THEN 'type'
      WHEN m.data IS NULL OR _payload_problem(m.data) IS NOT NULL THEN 'data'
      WHEN jsonb_typeof(m.metadata) <> 'object' OR _payload_problem(m.metadata) IS NOT NULL
        THEN 'metadata'
      WHEN m.message_id IS NULL THEN 'message_id'
      WHEN _time_fits(m.added_at) IS NOT TRUE THEN 'added_at'
      WHEN global_positions IS NOT NULL AND m.global_position > m.position_before IS NOT TRUE
        THEN 'global_position'
    END AS argument
  ) AS r
  WHERE m.n <= cardinality(streams) AND r.argument IS NOT NULL
  ORDER BY m.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      bad.argument,
      CASE
        WHEN bad.argument = 'stream' THEN 'must be a name of 1 to 1000 bytes'
        WHEN bad.argument = 'version' THEN 'must be 1 or more'
        WHEN bad.argument = 'type' THEN 'must be a name of 1 to 255 bytes'
        WHEN bad.problem IS NOT NULL THEN bad.problem
        WHEN bad.argument = 'data' THEN 'must be a JSON value, not NULL'
        WHEN bad.argument = 'metadata'
          THEN format('must be a JSON object or NULL, not a JSON %s', bad.metadata_type)
        WHEN bad.argument = 'message_id' THEN 'must be a UUID, not NULL'
        WHEN bad.argument = 'added_at'
          THEN 'must be between 0001-01-02 and 9999-12-30, in UTC'
        ELSE 'must be 1 or more, and more than that of the message before'
      END,
      jsonb_build_object('index', bad.index) || CASE
        -- Neither a payload nor an id that is missing.
        WHEN bad.argument IN ('data', 'metadata', 'message_id') THEN '{}'
        ELSE jsonb_build_object(bad.argument, to_jsonb(bad) -> bad.argument)
      END
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_import(
  text[], bigint[], text[], jsonb[], jsonb[], uuid[], timestamptz[], bigint[], jsonb[]
) IS
$$Internal: raise 22023 for the first message of an import that is not one; return if all are.$$;
