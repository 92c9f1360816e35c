CREATE OR REPLACE FUNCTION get_messages(
  message_ids uuid[]
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    a.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = a.stream_id),
    a.version, a.global_position, a.type, a.data, a.metadata, a.added_at, a.tags
  FROM (
    SELECT g.message_id, min(g.n) AS n
    FROM unnest(get_messages.message_ids) WITH ORDINALITY AS g (message_id, n)
    WHERE _is_open()
    GROUP BY g.message_id
  ) AS w
  -- LIMIT keeps this one look-up by id for each message, whatever the planner thinks of the sizes.
  CROSS JOIN LATERAL (
    SELECT
      m.message_id, m.stream_id, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at, m.tags
    FROM messages AS m
    WHERE m.message_id = w.message_id
    LIMIT 1
  ) AS a
  ORDER BY w.n;
END
$$;

COMMENT ON FUNCTION get_messages(uuid[]) IS
$$The messages with these ids, each once, in the order of the ids; those that do not exist are left
out.$$;
