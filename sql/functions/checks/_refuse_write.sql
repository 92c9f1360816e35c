CREATE OR REPLACE FUNCTION _refuse_write(
  stream text,
  expected_version bigint,
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
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
  IF stream IS NULL OR octet_length(stream) NOT BETWEEN 1 AND 1000 THEN
    PERFORM _refuse_value('stream', 'must be a name of 1 to 1000 bytes', to_jsonb(stream));
  ELSIF expected_version < 0 THEN
    PERFORM _refuse_value(
      'expected_version', 'must be NULL (any version), 0 (an empty stream) or a version',
      to_jsonb(expected_version)
    );
  ELSIF coalesce(cardinality(types), 0) = 0 THEN
    PERFORM _refuse_argument('messages', 'must not be empty');
  ELSIF cardinality(data) IS DISTINCT FROM cardinality(types)
    OR cardinality(metadata) <> cardinality(types)
    OR cardinality(message_ids) <> cardinality(types)
    OR cardinality(tags) <> cardinality(types)
  THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;

  SELECT
    m.n - 1 AS index, r.argument, m.type, jsonb_typeof(m.metadata) AS metadata_type,
    CASE
      WHEN m.data IS NOT NULL THEN coalesce(_payload_problem(m.data), _payload_problem(m.metadata))
    END AS problem
  INTO bad
  FROM unnest(types, data, metadata) WITH ORDINALITY AS m (type, data, metadata, n)
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN octet_length(m.type) BETWEEN 1 AND 255 IS NOT TRUE THEN 'type'
      WHEN m.data IS NULL OR _payload_problem(m.data) IS NOT NULL THEN 'data'
      WHEN jsonb_typeof(m.metadata) <> 'object' OR _payload_problem(m.metadata) IS NOT NULL
        THEN 'metadata'
    END AS argument
  ) AS r
  WHERE r.argument IS NOT NULL
  ORDER BY m.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      bad.argument,
      CASE
        WHEN bad.argument = 'type' THEN 'must be a name of 1 to 255 bytes'
        WHEN bad.problem IS NOT NULL THEN bad.problem
        WHEN bad.argument = 'data' THEN 'must be a JSON value, not NULL'
        ELSE format(
          'must be a JSON object, as {"key": "value"}, or NULL, not a JSON %s', bad.metadata_type
        )
      END,
      jsonb_build_object('index', bad.index)
        || CASE WHEN bad.argument = 'type' THEN jsonb_build_object('type', bad.type) ELSE '{}' END
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_write(text, bigint, text[], jsonb[], jsonb[], uuid[], jsonb[]) IS
$$Internal: raise 22023 for the first argument of a write that is wrong; return if none is.$$;
