CREATE OR REPLACE FUNCTION write_messages(
  stream text,
  messages jsonb,
  expected_version bigint DEFAULT NULL,
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  batch record;
BEGIN
  IF (jsonb_typeof(messages) = 'array') IS NOT TRUE THEN
    PERFORM _refuse_argument('messages', 'must be a JSON array of objects');
  END IF;

  SELECT m.n - 1 AS index, r.reason INTO bad
  FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (message, n)
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN jsonb_typeof(m.message) <> 'object' THEN 'must be objects'
      WHEN m.message - ARRAY['type', 'data', 'metadata', 'message_id'] <> '{}'
        THEN 'must have no keys but "type", "data", "metadata" and "message_id"'
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
    array_agg((m.message ->> 'message_id')::uuid ORDER BY m.n) AS message_ids
  INTO batch
  FROM jsonb_array_elements(messages) WITH ORDINALITY AS m (message, n);

  SELECT w.version, w.global_position INTO version, global_position
  FROM write_arrays(
    stream, batch.types, batch.data, batch.metadata, expected_version, batch.message_ids
  ) AS w;
END
$$;

COMMENT ON FUNCTION write_messages(text, jsonb, bigint) IS
$$Append several messages to a stream, all or nothing, with consecutive versions; answers the last
one's version and global position. messages is an array of {"type", "data", "metadata"?,
"message_id"?}. expected_version is checked once, before the first. Writing the same messages with
the same ids to the same place again stores nothing and gives the first answer. Call it in FROM, as
write_message. Errors as write_message; DETAIL names the index, from 0, of a message that is
malformed.$$;
