CREATE OR REPLACE FUNCTION _sweep_subscription(
  source subscriptions,
  safe bigint
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_memoize = off
AS $$
#variable_conflict use_column
DECLARE
  from_position bigint;
  to_position bigint;
  by_stream boolean;
  named boolean;
  tag text;
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
  source := _subscription_of(source.subscription);

  IF source.partitions = 1 THEN
    RETURN true;
  END IF;

  -- A partition whose messages are handled needs no head.
  DELETE FROM subscription_heads AS h
  WHERE h.subscription_id = source.subscription_id
    AND h.head <= (
      SELECT p.checkpoint
      FROM subscription_partitions AS p
      WHERE p.subscription_id = h.subscription_id AND p.partition = h.partition
    );

  IF source.tags IS NOT NULL THEN
    tag := _rarest_tag(source.tags, from_position);
  END IF;
  to_position := _window_of(
    source.categories, from_position, safe, least(10000 * source.partitions, 100000), tag
  );
  -- The look-up of its stream costs more than the rest of a message. That another category with
  -- the same key is none of these, fetch_batch sees.
  by_stream := source.partition_by = 'stream';
  named := NOT by_stream OR source.stream_pattern IS NOT NULL
    OR tag IS NOT NULL AND source.categories IS NOT NULL;
  -- Exactly one branch of the UNION returns rows: the subscription has tags, or categories, or
  -- neither.
  WITH found AS (
    SELECT
      CASE
        WHEN by_stream THEN _stream_partition(m.stream_id, source.partitions)
        ELSE _partition_of(
          m.stream_id, s.stream, m.metadata, source.partitions, source.partition_by
        )
      END AS partition,
      m.global_position
    FROM (
      (
        SELECT n.stream_id, n.global_position, n.type, n.metadata
        FROM messages AS n
        WHERE tag IS NULL AND source.categories IS NULL AND n.global_position > from_position
          AND n.global_position <= to_position
        ORDER BY n.global_position  -- as in _message_at
        OFFSET 0
      )
      UNION ALL
      SELECT o.stream_id, o.global_position, o.type, o.metadata
      FROM unnest(source.categories) AS c (category)
      CROSS JOIN LATERAL (
        SELECT n.stream_id, n.global_position, n.type, n.metadata
        FROM messages AS n
        WHERE (n.category_key, n.global_position) > (_category_key(c.category), from_position)
          AND (n.category_key, n.global_position) <= (_category_key(c.category), to_position)
        ORDER BY n.category_key, n.global_position
        OFFSET 0
      ) AS o
      WHERE tag IS NULL
      UNION ALL
      SELECT o.stream_id, o.global_position, o.type, o.metadata
      FROM message_tags AS t
      CROSS JOIN LATERAL _message_at(t.global_position) AS o
      WHERE (t.tag_key, t.global_position) > (_tag_key(tag), from_position)
        AND (t.tag_key, t.global_position) <= (_tag_key(tag), to_position)
        AND o.tags @> source.tags
    ) AS m
    LEFT JOIN LATERAL (
      SELECT i.stream, i.category
      FROM streams AS i
      WHERE named AND i.stream_id = m.stream_id
      LIMIT 1
    ) AS s ON true
    WHERE (source.types IS NULL OR m.type = ANY (source.types))
      AND (source.metadata IS NULL OR m.metadata @> source.metadata)
      AND (source.stream_pattern IS NULL OR s.stream LIKE source.stream_pattern)
      AND (tag IS NULL OR source.categories IS NULL OR s.category = ANY (source.categories))
  ),
  listed AS (
    INSERT INTO subscription_work (subscription_id, partition, last_position, positions)
    SELECT
      source.subscription_id, f.partition, max(f.global_position),
      array_agg(f.global_position ORDER BY f.global_position)
    FROM found AS f
    GROUP BY f.partition
    RETURNING partition, last_position
  )
  INSERT INTO subscription_heads AS h (subscription_id, partition, head)
  SELECT source.subscription_id, l.partition, l.last_position
  FROM listed AS l
  ON CONFLICT ON CONSTRAINT subscription_heads_subscription_id_partition_pkey
  DO UPDATE SET head = excluded.head;

  UPDATE subscription_sweeps AS w
  SET swept_position = to_position
  WHERE w.subscription_id = source.subscription_id;
  RETURN true;
END
$$;

COMMENT ON FUNCTION _sweep_subscription(subscriptions, bigint) IS
$$Internal: look at the next messages of a subscription, up to 10,000 for each partition and 100,000
in all, and note the partitions they wait in, and where. Return false if another transaction sweeps.
One look finds the work of every partition, so that neither finding nor fetching it costs more with
more partitions.$$;
