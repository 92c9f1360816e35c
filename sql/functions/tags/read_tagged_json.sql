CREATE OR REPLACE FUNCTION read_tagged_json(
  query jsonb,
  after_position bigint DEFAULT 0
)
RETURNS json
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT json_build_object(
      'decided_upon', max(r.decided_upon),
      'messages', coalesce(
        json_agg(
          (
            r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
            r.added_at, r.tags
          )::message
          ORDER BY r.global_position
        ) FILTER (WHERE r.message_id IS NOT NULL),
        '[]'
      )
    )
    FROM read_tagged(query, after_position) AS r
  );
END
$$;

COMMENT ON FUNCTION read_tagged_json(jsonb, bigint) IS
$$Return the messages that match a query, as read_tagged, in one JSON object: messages (as in
claim_batch_json), and decided_upon, the token for write_if. Errors as read_tagged.$$;
