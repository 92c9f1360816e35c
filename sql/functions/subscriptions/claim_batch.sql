CREATE OR REPLACE FUNCTION claim_batch(
  subscriptions text[],
  owner text,
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
  parked boolean
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  SELECT c.subscription, c.partition, c.token
  INTO claim_batch.subscription, claim_batch.partition, claim_batch.token
  FROM claim_partition(subscriptions, owner, lease) AS c;
  IF NOT FOUND THEN
    RETURN;
  ELSIF subscription IS NOT NULL THEN
    RETURN QUERY
    SELECT
      claim_batch.subscription, claim_batch.partition, claim_batch.token,
      f.message_id, f.stream, f.version, f.global_position, f.type, f.data, f.metadata, f.added_at,
      f.checkpoint, f.parked
    FROM fetch_after(
      claim_batch.subscription, claim_batch.partition, claim_batch.token, NULL, max_count
    ) AS f;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  RETURN NEXT;
END
$$;

COMMENT ON FUNCTION claim_batch(text[], text, interval, bigint) IS
$$claim_partition and, if that has leased one, the first fetch_batch, in one round trip. If there is
nothing to fetch, one row with the lease and without a message: release it.$$;
