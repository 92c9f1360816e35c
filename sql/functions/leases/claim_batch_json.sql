CREATE OR REPLACE FUNCTION claim_batch_json(
  subscriptions text[],
  worker text,
  lease_seconds double precision DEFAULT 30,
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
  -- An interval of less than a microsecond is 0; a longer one than 1000 years is no interval that
  -- claim_batch takes.
  IF (lease_seconds >= 0.000001 AND lease_seconds <= 31104000000) IS NOT TRUE THEN
    PERFORM _refuse_value(
      'lease_seconds', 'must be a microsecond or more, and 31104000000 at most',
      to_jsonb(lease_seconds)
    );
  END IF;
  SELECT
    count(*) AS rows,
    min(c.subscription) AS subscription,
    min(c.partition) AS partition,
    min(c.token) AS token,
    max(c.checkpoint) AS checkpoint,
    bool_or(c.parked) AS parked,
    json_agg(
      (
        c.message_id, c.stream, c.version, c.global_position, c.type, c.data, c.metadata,
        c.added_at, c.tags
      )::message
      ORDER BY c.global_position
    ) FILTER (WHERE c.message_id IS NOT NULL) AS messages
  INTO batch
  FROM claim_batch(
    subscriptions, worker, make_interval(secs => lease_seconds), max_count
  ) AS c;
  IF batch.rows = 0 THEN
    RETURN json_build_object('state', 'idle');
  ELSIF batch.checkpoint IS NULL THEN
    -- A lease and nothing to fetch: the subscription's filters left all of it out. Without the
    -- release, each caller would have to know this case.
    IF batch.token IS NOT NULL THEN
      PERFORM release_partition(batch.subscription, batch.partition, batch.token);
    END IF;
    RETURN json_build_object('state', 'busy');
  END IF;
  RETURN json_build_object(
    'state', 'claimed',
    'subscription', batch.subscription,
    'partition', batch.partition,
    'token', batch.token,
    'checkpoint', batch.checkpoint,
    'parked', coalesce(batch.parked, false),
    'messages', coalesce(batch.messages, '[]')
  );
END
$$;

COMMENT ON FUNCTION claim_batch_json(text[], text, double precision, bigint) IS
$$Lease a partition that has work and return its first messages, as claim_batch, in one JSON object:
for drivers to which rows without a message are a burden. Its state is "idle" (nothing to do now),
"busy" (try again in some milliseconds) or "claimed". With "claimed" come subscription, partition,
token, checkpoint, parked and messages. messages are objects with the columns of the type message,
in order. There may be none: then checkpoint passes only messages that the filters leave out.
checkpoint is the one to acknowledge after all of them; after one of them, acknowledge its
global_position. If parked is true, the one message is under replay: call settle_parked instead of
acknowledge. lease_seconds may have a fraction. Numbers are JSON numbers, which a program that keeps
them as doubles has exactly up to 2^53: tokens reach that in the year 2255, positions after as many
writes. added_at is a text in ISO 8601, in the time zone of the session. Raises 22023 for a bad
argument; otherwise errors as claim_partition.$$;
