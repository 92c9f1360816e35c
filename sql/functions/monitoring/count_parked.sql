CREATE OR REPLACE FUNCTION count_parked()
RETURNS TABLE (
  subscription text,
  parked bigint,
  oldest_parked_at timestamptz
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.subscription, count(k.global_position), min(k.parked_at)
  FROM subscriptions AS s
  LEFT JOIN parked_messages AS k USING (subscription_id)
  WHERE _is_open()
  GROUP BY s.subscription
  ORDER BY s.subscription;
END
$$;

COMMENT ON FUNCTION count_parked() IS
$$How many messages each subscription has put aside, and since when.$$;
