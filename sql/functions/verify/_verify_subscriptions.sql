CREATE OR REPLACE FUNCTION _verify_subscriptions()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
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
        OR p.place NOT BETWEEN 0 AND _drawn_position() AS wrong
    FROM (
      SELECT c.subscription_id, c.partition, c.checkpoint AS place FROM subscription_partitions AS c
      UNION ALL
      SELECT w.subscription_id, NULL, w.swept_position FROM subscription_sweeps AS w
      UNION ALL
      SELECT h.subscription_id, h.partition, h.head FROM subscription_heads AS h
      UNION ALL
      SELECT o.subscription_id, o.partition, o.swept_position
      FROM subscription_partitions AS o
      WHERE o.swept_position IS NOT NULL
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
      -- Not a join: nobody has analysed what an array holds, so that one would be a nested loop.
      (p.subscription_id, p.partition, m.global_position) NOT IN (
        SELECT k.subscription_id, k.partition, u.global_position
        FROM subscription_work AS k
        CROSS JOIN LATERAL unnest(k.positions) AS u (global_position)
      )
      OR (h.head >= m.global_position) IS NOT TRUE AS wrong
    FROM subscriptions AS s
    JOIN subscription_sweeps AS w USING (subscription_id)
    CROSS JOIN LATERAL (
      SELECT
        n.global_position,
        _partition_of(n.stream_id, i.stream, n.metadata, s.partitions, s.partition_by) AS partition
      FROM messages AS n
      JOIN streams AS i USING (stream_id)
      WHERE n.global_position <= w.swept_position
        AND n.global_position > (
          SELECT min(c.checkpoint)
          FROM subscription_partitions AS c
          WHERE c.subscription_id = s.subscription_id
        )
        AND (s.categories IS NULL OR i.category = ANY (s.categories))
        AND (s.types IS NULL OR n.type = ANY (s.types))
        AND (s.stream_pattern IS NULL OR i.stream LIKE s.stream_pattern)
        AND (s.metadata IS NULL OR n.metadata @> s.metadata)
        AND (s.tags IS NULL OR n.tags @> s.tags)
      OFFSET 0  -- first: the planner would look for the messages of each partition and stream
    ) AS m
    JOIN subscription_partitions AS p ON p.subscription_id = s.subscription_id
      AND p.partition = m.partition AND p.checkpoint < m.global_position
    LEFT JOIN subscription_heads AS h
      ON h.subscription_id = p.subscription_id AND h.partition = p.partition
    WHERE s.partitions > 1
  ) AS g;

  RETURN QUERY
  SELECT
    text 'partitions are well formed', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('subscription_id %s, partition %s', g.subscription_id, g.partition))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      p.subscription_id, p.partition,
      (
        p.partition BETWEEN 0 AND 65535
        AND p.token > 0
        AND p.attempts >= 0
        AND p.leases >= 0
        AND p.alone >= 0
        AND p.batch_size BETWEEN 0 AND 1000
        AND (p.leased_until IS NULL OR p.lease > '0')
        AND (p.failed_position >= 1 OR p.attempts = 0 AND NOT p.stopped)
        AND (p.swept_position IS NULL OR p.partition = 0)
      ) IS NOT TRUE AS wrong
    FROM subscription_partitions AS p
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
        OR k.global_position NOT BETWEEN 1 AND _drawn_position()
        AS wrong
    FROM parked_messages AS k
    LEFT JOIN subscriptions AS s USING (subscription_id)
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_subscriptions() IS
$$Internal: the checks of verify_store that read subscriptions.$$;
