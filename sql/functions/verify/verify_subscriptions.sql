CREATE OR REPLACE FUNCTION verify_subscriptions()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    text 'subscriptions have all their partitions', count(*), count(*) FILTER (WHERE g.wrong),
    min(g.subscription) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription,
      (
        SELECT count(*) FROM subscription_partitions AS p
        WHERE p.subscription_id = s.subscription_id AND p.partition BETWEEN 0 AND s.partitions - 1
      ) <> s.partitions
      OR NOT EXISTS (
        SELECT FROM subscription_sweeps AS w WHERE w.subscription_id = s.subscription_id
      ) AS wrong
    FROM subscriptions AS s
  ) AS g;

  RETURN QUERY
  SELECT
    text 'checkpoints are within the store', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s, partition %s: %s', g.subscription, g.partition, g.place))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription, p.partition, p.place,
      s.subscription_id IS NULL
        OR p.place NOT BETWEEN 0 AND pg_sequence_last_value('global_position_seq') AS wrong
    FROM (
      SELECT c.subscription_id, c.partition, c.checkpoint AS place FROM subscription_partitions AS c
      UNION ALL
      SELECT w.subscription_id, NULL, w.swept_position FROM subscription_sweeps AS w
      UNION ALL
      SELECT h.subscription_id, h.partition, h.head FROM subscription_heads AS h
    ) AS p
    LEFT JOIN subscriptions AS s USING (subscription_id)
  ) AS g;

  RETURN QUERY
  SELECT
    text 'parked messages are there', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s: position %s', g.subscription, g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription, k.global_position,
      s.subscription_id IS NULL OR NOT EXISTS (
        SELECT FROM messages AS m WHERE m.global_position = k.global_position
      ) AS wrong
    FROM parked_messages AS k
    LEFT JOIN subscriptions AS s USING (subscription_id)
  ) AS g;
END
$$;

COMMENT ON FUNCTION verify_subscriptions() IS
$$Internal: the checks of verify_store that read subscriptions.$$;
