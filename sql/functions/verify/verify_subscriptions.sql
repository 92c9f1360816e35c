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
    text 'what waits in partitions is listed', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s: position %s', g.subscription, g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription, m.global_position,
      l.global_position IS NULL OR (h.head >= m.global_position) IS NOT TRUE AS wrong
    FROM subscriptions AS s
    JOIN subscription_sweeps AS w USING (subscription_id)
    JOIN messages AS m ON m.global_position <= w.swept_position
      AND m.global_position > (
        SELECT min(c.checkpoint)
        FROM subscription_partitions AS c
        WHERE c.subscription_id = s.subscription_id
      )
    JOIN streams AS i USING (stream_id)
    JOIN subscription_partitions AS p ON p.subscription_id = s.subscription_id
      AND p.partition = partition_of(
        m.stream_id, i.stream, m.metadata, s.partitions, s.partition_by
      )
      AND p.checkpoint < m.global_position
    LEFT JOIN subscription_heads AS h
      ON h.subscription_id = p.subscription_id AND h.partition = p.partition
    LEFT JOIN (
      SELECT k.subscription_id, k.partition, u.global_position
      FROM subscription_work AS k
      CROSS JOIN LATERAL unnest(k.positions) AS u (global_position)
    ) AS l ON l.subscription_id = p.subscription_id AND l.partition = p.partition
      AND l.global_position = m.global_position
    WHERE s.partitions > 1
      AND (s.categories IS NULL OR i.category = ANY (s.categories))
      AND (s.types IS NULL OR m.type = ANY (s.types))
      AND (s.stream_pattern IS NULL OR i.stream LIKE s.stream_pattern)
  ) AS g;

  -- Not that they are stored: retention and delete_stream leave what was parked.
  RETURN QUERY
  SELECT
    text 'parked messages belong to subscriptions', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s: position %s', g.subscription, g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.subscription, k.global_position,
      s.subscription_id IS NULL
        OR k.global_position NOT BETWEEN 1 AND pg_sequence_last_value('global_position_seq')
        AS wrong
    FROM parked_messages AS k
    LEFT JOIN subscriptions AS s USING (subscription_id)
  ) AS g;
END
$$;

COMMENT ON FUNCTION verify_subscriptions() IS
$$Internal: the checks of verify_store that read subscriptions.$$;
