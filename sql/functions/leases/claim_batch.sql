CREATE OR REPLACE FUNCTION claim_batch(
  subscriptions text[],
  worker text,
  lease interval DEFAULT '30 seconds',
  max_count bigint DEFAULT 100
)
RETURNS TABLE (
  subscription text,
  partition bigint,
  token bigint,
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
  safe bigint;
  name text;
  free record;
  category text;
  found_count bigint;
  busy boolean := false;
BEGIN
  IF (lease > '0' AND lease <= '1000 years') IS NOT TRUE THEN
    PERFORM _refuse_value('lease', 'must be more than 0, and 1000 years at most', to_jsonb(lease));
  ELSIF subscriptions IS NULL
    OR array_ndims(subscriptions) > 1
    OR array_position(subscriptions, NULL) IS NOT NULL
  THEN
    PERFORM _refuse_value('subscriptions', 'must be names', to_jsonb(subscriptions));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM _refuse_isolation();
  END IF;
  safe := (horizon()).safe_position;

  FOREACH name IN ARRAY claim_batch.subscriptions LOOP
    -- The usual case in few statements, because a message waits for them: a subscription with one
    -- partition that reads all types, and nothing that is out of the ordinary. It reads messages
    -- where the others look whether there are any.
    SELECT p.subscription_id, p.checkpoint, s.categories, _new_token(p.token) AS token
    INTO free
    FROM subscriptions AS s
    JOIN subscription_partitions AS p ON p.subscription_id = s.subscription_id AND p.partition = 0
    WHERE s.subscription = name COLLATE "C"
      AND s.next_partitions IS NULL
      AND NOT s.paused
      AND s.types IS NULL
      AND s.stream_pattern IS NULL
      AND s.metadata IS NULL
      AND s.tags IS NULL
      AND p.swept_position IS NOT NULL
      AND p.checkpoint < safe
      AND p.failed_position IS NULL
      AND p.alone = 0
      AND p.leased_until IS NULL
      AND p.retry_at IS NULL
      AND NOT EXISTS (
        SELECT FROM parked_messages AS k WHERE k.subscription_id = s.subscription_id AND k.replay
      )
    FOR UPDATE OF p SKIP LOCKED;
    IF FOUND THEN
      category := CASE WHEN cardinality(free.categories) = 1 THEN free.categories[1] END;
      IF free.categories IS NULL THEN
        RETURN QUERY
        SELECT
          name, bigint '0', free.token, r.message_id, r.stream, r.version, r.global_position,
          r.type, r.data, r.metadata, r.added_at, r.global_position, false, r.tags
        FROM _range_of_all(
          free.checkpoint, safe, max_count, NULL, NULL, NULL, NULL, 'stream'
        ) AS r;
      ELSIF category IS NOT NULL THEN
        RETURN QUERY
        SELECT
          name, bigint '0', free.token, r.message_id, r.stream, r.version, r.global_position,
          r.type, r.data, r.metadata, r.added_at, r.global_position, false, r.tags
        FROM _range_of_category(
          category, free.checkpoint, safe, max_count, NULL, NULL, NULL, NULL, 'stream'
        ) AS r;
      ELSE
        RETURN QUERY
        SELECT
          name, bigint '0', free.token, r.message_id, r.stream, r.version, r.global_position,
          r.type, r.data, r.metadata, r.added_at, r.global_position, false, r.tags
        FROM _range_of_several(
          free.categories, free.checkpoint, safe, max_count, NULL, NULL, NULL, NULL, 'stream'
        ) AS r;
      END IF;
      GET DIAGNOSTICS found_count = ROW_COUNT;
      IF found_count > 0 THEN
        -- As _begin_lease, of a lease that follows no other; a call would be a tenth of the claim.
        UPDATE subscription_partitions AS p
        SET
          token = free.token,
          worker = claim_batch.worker,
          lease = claim_batch.lease,
          leased_until = clock_timestamp() + claim_batch.lease,
          swept_position = safe,
          leases = p.leases + 1,
          batch_size = greatest(p.batch_size, least(max_count, 1000)),
          server_started_at = pg_postmaster_start_time()
        WHERE p.subscription_id = free.subscription_id AND p.partition = 0;
        IF found_count < max_count THEN
          subscription := name;
          partition := 0;
          token := free.token;
          checkpoint := safe;
          RETURN NEXT;
        END IF;
        RETURN;
      END IF;
    END IF;

    SELECT name, c.partition, c.token INTO subscription, partition, token
    FROM _claim_of(name, claim_batch.worker, claim_batch.lease, safe) AS c;
    IF token IS NOT NULL THEN
      RETURN QUERY
      SELECT
        name, claim_batch.partition, claim_batch.token, f.message_id, f.stream, f.version,
        f.global_position, f.type, f.data, f.metadata, f.added_at, f.checkpoint, f.parked, f.tags
      FROM fetch_batch(name, claim_batch.partition, claim_batch.token, max_count) AS f;
      IF NOT FOUND THEN
        RETURN NEXT;
      END IF;
      RETURN;
    END IF;
    busy := busy OR FOUND;
  END LOOP;
  IF busy THEN
    subscription := NULL;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION claim_batch(text[], text, interval, bigint) IS
$$claim_partition and, if that has leased one, the first fetch_batch, in one round trip. If there is
nothing to fetch, one row with the lease and without a message: release it.$$;
