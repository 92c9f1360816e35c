CREATE OR REPLACE FUNCTION fetch_batch(
  subscription text,
  partition bigint,
  token bigint,
  max_count bigint DEFAULT 100
)
RETURNS TABLE (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  checkpoint bigint,
  parked boolean,
  tags text[]
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  leased record;
  category text;
  categories text[];
  types text[];
  stream_pattern text;
  metadata_filter jsonb;
  tag text;
  from_position bigint;
  to_position bigint;
  wanted bigint;
  work record;
  done bigint;
  more bigint;
  found_count bigint := bigint '0';
BEGIN
  IF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  END IF;
  PERFORM _refuse_isolation();

  -- All that it needs to know, in one statement.
  SELECT
    s.subscription_id, s.partitions, s.paused, s.categories, s.types, s.stream_pattern,
    s.metadata, s.tags, p.checkpoint, p.attempts, p.alone, p.batch_size, p.stopped, p.leased_until,
    p.lease,
    w.position AS swept,
    EXISTS (
      SELECT
      FROM parked_messages AS k
      WHERE k.subscription_id = s.subscription_id
        AND k.partition = fetch_batch.partition
        AND k.replay
    ) AS replays
  INTO leased
  FROM subscriptions AS s
  JOIN subscription_partitions AS p ON p.subscription_id = s.subscription_id
    AND p.partition = fetch_batch.partition
    AND p.token = fetch_batch.token
  CROSS JOIN LATERAL _swept_position(s.subscription_id, p.swept_position) AS w (position)
  WHERE _is_open() AND s.subscription = fetch_batch.subscription COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _subscription_of(subscription);
    PERFORM _refuse_lease(subscription, partition, token);
  ELSIF leased.paused THEN
    RETURN;
  ELSIF (
    leased.leased_until NOT BETWEEN clock_timestamp() + leased.lease / 2
      AND clock_timestamp() + leased.lease
  ) THEN
    PERFORM extend_lease(subscription, partition, token);
  END IF;
  -- If the worker ends, it can have received this many messages that are not acknowledged. The
  -- column only grows, so most calls update nothing.
  IF leased.batch_size < least(max_count, 1000) THEN
    UPDATE subscription_partitions AS p
    SET batch_size = greatest(p.batch_size, least(max_count, 1000))
    WHERE p.subscription_id = leased.subscription_id
      AND p.partition = fetch_batch.partition
      AND p.token = fetch_batch.token;
  END IF;

  IF leased.replays THEN
    RETURN QUERY
    SELECT
      m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata,
      m.added_at,
      leased.checkpoint, true, m.tags
    FROM parked_messages AS k
    CROSS JOIN LATERAL _message_at(k.global_position) AS m
    CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
    WHERE k.subscription_id = leased.subscription_id
      AND k.partition = fetch_batch.partition
      AND k.replay
    ORDER BY k.global_position
    LIMIT 1;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  IF leased.stopped THEN
    RETURN;
  END IF;

  -- After a failure one by one, so that the message that fails is alone when it fails again.
  wanted := CASE WHEN leased.attempts > 0 OR leased.alone > 0 THEN 1 ELSE max_count END;
  -- As variables of their own they cost less for each message.
  categories := leased.categories;
  types := leased.types;
  stream_pattern := leased.stream_pattern;
  metadata_filter := leased.metadata;
  from_position := leased.checkpoint;
  to_position := leased.swept;
  category := CASE WHEN cardinality(categories) = 1 THEN categories[1] END;
  IF leased.partitions > 1 THEN
    <<listed>>
    FOR work IN
      SELECT w.positions
      FROM subscription_work AS w
      WHERE w.subscription_id = leased.subscription_id
        AND w.partition = fetch_batch.partition
        AND w.last_position > leased.checkpoint
        AND w.last_position <= leased.swept
      ORDER BY w.last_position
    LOOP
      done := width_bucket(leased.checkpoint, work.positions)::bigint;
      WHILE done < cardinality(work.positions) LOOP
        -- Messages that were deleted or redacted since, or are of another category with the same
        -- key, are left out.
        RETURN QUERY
        SELECT
          m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata,
          m.added_at, m.global_position, false, m.tags
        FROM unnest(work.positions[done + 1:done + wanted - found_count]) AS u (global_position)
        CROSS JOIN LATERAL _message_at(u.global_position) AS m
        CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
        WHERE (categories IS NULL OR s.category = ANY (categories))
          AND (metadata_filter IS NULL OR m.metadata @> metadata_filter)
          AND (leased.tags IS NULL OR m.tags @> leased.tags)
        ORDER BY m.global_position;
        GET DIAGNOSTICS more = ROW_COUNT;
        done := done + wanted - found_count;
        found_count := found_count + more;
        EXIT listed WHEN found_count = wanted;
      END LOOP;
    END LOOP;
  ELSE
    -- As read_matching, if filters leave messages out: a call that looks at all of them can last
    -- longer than the lease.
    IF leased.tags IS NOT NULL THEN
      tag := _rarest_tag(leased.tags, from_position);
    END IF;
    IF (
      types IS NOT NULL OR stream_pattern IS NOT NULL OR metadata_filter IS NOT NULL
      OR tag IS NOT NULL
    ) AND to_position - from_position > 100000 THEN
      to_position := from_position + 100000;
    END IF;
    LOOP
      IF tag IS NOT NULL THEN
        RETURN QUERY
        SELECT
          r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
          r.added_at, r.global_position, false, r.tags
        FROM _range_of_tags(
          tag, leased.tags, categories, from_position, to_position, wanted - found_count, types,
          stream_pattern, NULL, NULL, NULL, metadata_filter
        ) AS r;
      ELSIF categories IS NULL THEN
        RETURN QUERY
        SELECT
          r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
          r.added_at, r.global_position, false, r.tags
        FROM _range_of_all(
          from_position, to_position, wanted, types, stream_pattern, NULL, NULL, NULL,
          metadata_filter
        ) AS r;
      ELSIF category IS NOT NULL THEN
        RETURN QUERY
        SELECT
          r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
          r.added_at, r.global_position, false, r.tags
        FROM _range_of_category(
          category, from_position, to_position, wanted, types, stream_pattern, NULL, NULL, NULL,
          metadata_filter
        ) AS r;
      ELSE
        RETURN QUERY
        SELECT
          r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
          r.added_at, r.global_position, false, r.tags
        FROM _range_of_several(
          categories, from_position, to_position, wanted, types, stream_pattern, NULL, NULL, NULL,
          metadata_filter
        ) AS r;
      END IF;
      GET DIAGNOSTICS more = ROW_COUNT;
      found_count := found_count + more;
      EXIT WHEN found_count = wanted OR to_position = leased.swept
        OR from_position > leased.checkpoint OR found_count > 0 AND tag IS NULL;
      from_position := to_position;
      to_position := _window_of(categories, from_position, leased.swept, 100000, tag);
    END LOOP;
  END IF;

  IF found_count BETWEEN 1 AND wanted - 1 THEN
    checkpoint := to_position;
    RETURN NEXT;
  ELSIF found_count = 0 AND leased.checkpoint < to_position THEN
    PERFORM acknowledge(subscription, partition, token, to_position);
  END IF;
END
$$;

COMMENT ON FUNCTION fetch_batch(text, bigint, bigint, bigint) IS
$$The next messages of a leased partition, in order, at most max_count; none if it has caught up,
the subscription is paused, or its filters leave out the next hundred thousand messages: then
release the partition, and claim again. Each comes with the checkpoint to acknowledge after it. If
there are fewer than max_count, a last row without a message has the checkpoint to acknowledge after
all of them, which is further on where nothing of the partition follows. After a failure they come
one by one until the failed one has been dealt with. A parked message that is to be replayed comes
first, alone, and is settled by settle_parked. Extends the lease when half of it is over. Raises
MS020 if the lease is lost.$$;
