CREATE OR REPLACE FUNCTION get_messages(
  message_ids uuid[]
)
RETURNS SETOF message
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at
  FROM (
    SELECT g.message_id, min(g.n) AS n
    FROM unnest(get_messages.message_ids) WITH ORDINALITY AS g (message_id, n)
    GROUP BY g.message_id
  ) AS w
  JOIN messages AS m ON m.message_id = w.message_id
  JOIN streams AS s USING (stream_id)
  ORDER BY w.n;
END
$$;

COMMENT ON FUNCTION get_messages(uuid[]) IS
$$The messages with these ids, each once, in the order of the ids; those that do not exist are left
out.$$;
