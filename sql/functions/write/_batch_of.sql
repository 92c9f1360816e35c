CREATE OR REPLACE FUNCTION _batch_of(
  messages jsonb,
  OUT types text[],
  OUT data jsonb[],
  OUT metadata jsonb[],
  OUT message_ids uuid[],
  OUT tags jsonb[]
)
RETURNS record
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  IF (jsonb_typeof(messages) = 'array') IS NOT TRUE THEN
    PERFORM _refuse_argument('messages', 'must be a JSON array of objects');
  END IF;

  SELECT m.n - 1 AS index, r.reason INTO bad
  FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (message, n)
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN jsonb_typeof(m.message) <> 'object' THEN 'must be objects'
      WHEN m.message - ARRAY['type', 'data', 'metadata', 'message_id', 'tags'] <> '{}'
        THEN 'must have no keys but "type", "data", "metadata", "message_id" and "tags"'
      WHEN (jsonb_typeof(m.message -> 'type') = 'string') IS NOT TRUE
        THEN 'must have a "type", a string'
      WHEN NOT m.message ? 'data' THEN 'must have "data"'
      WHEN m.message -> 'message_id' <> 'null' AND NOT (
        jsonb_typeof(m.message -> 'message_id') = 'string'
        AND m.message ->> 'message_id' ~* '^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$'
      ) THEN 'must have a UUID as "message_id", or none'
    END AS reason
  ) AS r
  WHERE r.reason IS NOT NULL
  ORDER BY m.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument('messages', bad.reason, jsonb_build_object('index', bad.index));
  END IF;

  SELECT
    array_agg(m.message ->> 'type' ORDER BY m.n) AS types,
    array_agg(m.message -> 'data' ORDER BY m.n) AS data,
    array_agg(nullif(m.message -> 'metadata', 'null') ORDER BY m.n) AS metadata,
    array_agg((m.message ->> 'message_id')::uuid ORDER BY m.n) AS message_ids,
    array_agg(m.message -> 'tags' ORDER BY m.n) AS tags
  INTO types, data, metadata, message_ids, tags
  FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (message, n);
END
$$;

COMMENT ON FUNCTION _batch_of(jsonb) IS
$$Internal: the arrays of a batch that is given as a JSON array of objects. Raises 22023.$$;
