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
  RETURN QUERY
  SELECT
    f.message_id, f.stream, f.version, f.global_position, f.type, f.data, f.metadata, f.added_at,
    f.checkpoint, f.parked
  FROM fetch_after(subscription, partition, token, NULL, max_count) AS f;
END
$$;

COMMENT ON FUNCTION fetch_batch(text, bigint, bigint, bigint) IS
$$The next messages of a leased partition, in order, at most max_count; none if it has caught up or
the subscription is paused. Each comes with the checkpoint to acknowledge after it. If there are
fewer than max_count, a last row without a message has the checkpoint to acknowledge after all of
them, which is further on where nothing of the partition follows. After a failure they come one by
one until the failed one has been dealt with. A parked message that is to be replayed comes first,
alone, and is settled by settle_parked. Extends the lease when half of it is over. Raises MS020 if
the lease is lost.$$;
