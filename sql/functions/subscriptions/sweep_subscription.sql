CREATE OR REPLACE FUNCTION sweep_subscription(
  source subscriptions,
  safe bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  window_size CONSTANT bigint := bigint '10000';
  from_position bigint;
  to_position bigint;
BEGIN
  -- One looks for work at a time; the others do not wait for it.
  SELECT w.swept_position INTO from_position
  FROM subscription_sweeps AS w
  WHERE w.subscription_id = source.subscription_id
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  ELSIF from_position >= safe THEN
    RETURN true;
  END IF;
  -- Once more, under the lock: its partitions may have changed since the caller read it.
  source := subscription_of(source.subscription);

  -- What has been dealt with needs no head.
  DELETE FROM subscription_heads AS h
  WHERE h.subscription_id = source.subscription_id
    AND h.head <= (
      SELECT p.checkpoint
      FROM subscription_partitions AS p
      WHERE p.subscription_id = h.subscription_id AND p.partition = h.partition
    );

  IF source.categories IS NULL THEN
    SELECT m.global_position INTO to_position
    FROM messages AS m
    WHERE m.global_position > from_position AND m.global_position <= safe
    ORDER BY m.global_position
    OFFSET window_size - 1
    LIMIT 1;
  ELSE
    -- The window of the fullest category; the others' rows in it are fewer.
    SELECT min(o.global_position) INTO to_position
    FROM unnest(source.categories) AS c (category)
    CROSS JOIN LATERAL (
      SELECT m.global_position
      FROM messages AS m
      -- Rows are compared as in range_of_categories.
      WHERE (m.category_key, m.global_position) > (category_key(c.category), from_position)
        AND (m.category_key, m.global_position) <= (category_key(c.category), safe)
      ORDER BY m.category_key, m.global_position
      OFFSET window_size - 1
      LIMIT 1
    ) AS o;
  END IF;
  to_position := coalesce(to_position, safe);

  -- Of these two, one is empty.
  INSERT INTO subscription_heads AS h (subscription_id, partition, head)
  SELECT source.subscription_id, f.partition, max(f.global_position)
  FROM (
    SELECT
      partition_of(m.stream_id, s.stream, m.metadata, source.partitions, source.partition_by)
        AS partition,
      m.global_position
    FROM messages AS m
    CROSS JOIN LATERAL (
      SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    WHERE source.categories IS NULL AND m.global_position > from_position
      AND m.global_position <= to_position
      AND (source.types IS NULL OR m.type = ANY (source.types))
      AND (source.stream_pattern IS NULL OR s.stream LIKE source.stream_pattern)
    UNION ALL
    SELECT
      partition_of(m.stream_id, s.stream, m.metadata, source.partitions, source.partition_by)
        AS partition,
      m.global_position
    FROM unnest(source.categories) AS c (category)
    CROSS JOIN LATERAL (
      SELECT n.stream_id, n.global_position, n.type, n.metadata
      FROM messages AS n
      WHERE (n.category_key, n.global_position) > (category_key(c.category), from_position)
        AND (n.category_key, n.global_position) <= (category_key(c.category), to_position)
      ORDER BY n.category_key, n.global_position
      OFFSET 0
    ) AS m
    CROSS JOIN LATERAL (
      SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
    ) AS s
    WHERE s.category = c.category
      AND (source.types IS NULL OR m.type = ANY (source.types))
      AND (source.stream_pattern IS NULL OR s.stream LIKE source.stream_pattern)
  ) AS f
  GROUP BY f.partition
  ON CONFLICT ON CONSTRAINT subscription_heads_subscription_id_partition_pkey
  DO UPDATE SET head = excluded.head;

  UPDATE subscription_sweeps AS w
  SET swept_position = to_position
  WHERE w.subscription_id = source.subscription_id;
  RETURN true;
END
$$;

COMMENT ON FUNCTION sweep_subscription(subscriptions, bigint) IS
$$Internal: look at the next messages of a subscription, up to 10,000, and note the partitions they
wait in. False if somebody else is at it. One look tells every partition whether it has work, so
that finding some does not cost more with more partitions.$$;
