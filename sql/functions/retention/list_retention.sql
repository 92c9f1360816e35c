CREATE OR REPLACE FUNCTION list_retention()
RETURNS TABLE (
  category text,
  max_age interval,
  max_count bigint,
  keep_unhandled boolean,
  reached_position bigint,
  handled_position bigint,
  waits boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    p.category, p.max_age, p.max_count, p.keep_unhandled, p.reached_position, h.position,
    -- Whether the first message that is left would have gone, were it not for a subscription.
    p.keep_unhandled AND EXISTS (
      SELECT
      FROM (
        SELECT m.global_position, m.added_at
        FROM messages AS m
        WHERE (m.category_key, m.global_position)
          > (_category_key(p.category), p.reached_position)
        ORDER BY m.category_key, m.global_position
        LIMIT 1
      ) AS f
      WHERE f.global_position > h.position
        AND (f.added_at < clock_timestamp() - p.max_age OR f.global_position <= p.keep_after)
    )
  FROM retention_policies AS p
  CROSS JOIN LATERAL (SELECT _handled_position(p.category) AS position) AS h
  WHERE _is_open()
  ORDER BY p.category;
END
$$;

COMMENT ON FUNCTION list_retention() IS
$$Return the policies of retention. Up to reached_position every message of the category is deleted.
Up to handled_position every subscription to it has handled them (NULL if there is none); if
keep_unhandled is true, nothing after it is deleted. waits is true if messages stay only because of
that.$$;
