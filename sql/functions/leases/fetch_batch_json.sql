CREATE OR REPLACE FUNCTION fetch_batch_json(
  subscription text,
  partition bigint,
  token bigint,
  max_count bigint DEFAULT 100
)
RETURNS json
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  batch record;
BEGIN
  SELECT
    max(f.checkpoint) AS checkpoint,
    bool_or(f.parked) AS parked,
    json_agg(
      (
        f.message_id, f.stream, f.version, f.global_position, f.type, f.data, f.metadata,
        f.added_at, f.tags
      )::message
      ORDER BY f.global_position
    ) FILTER (WHERE f.message_id IS NOT NULL) AS messages
  INTO batch
  FROM fetch_batch(subscription, partition, token, max_count) AS f;
  IF batch.checkpoint IS NULL THEN
    RETURN json_build_object('state', 'idle');
  END IF;
  RETURN json_build_object(
    'state', 'claimed',
    'subscription', fetch_batch_json.subscription,
    'partition', fetch_batch_json.partition,
    'token', fetch_batch_json.token,
    'checkpoint', batch.checkpoint,
    'parked', coalesce(batch.parked, false),
    'messages', coalesce(batch.messages, '[]')
  );
END
$$;

COMMENT ON FUNCTION fetch_batch_json(text, bigint, bigint, bigint) IS
$$Return the next messages of a leased partition, as fetch_batch, in the JSON object of
claim_batch_json. Its state is "claimed", or "idle": there is nothing to fetch, so release the
partition. Errors as fetch_batch.$$;
