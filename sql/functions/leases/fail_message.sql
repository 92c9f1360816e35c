CREATE OR REPLACE FUNCTION fail_message(
  subscription text,
  partition bigint,
  token bigint,
  global_position bigint,
  error text
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
  -- Some errors quote megabytes: every list of partitions would carry them.
  told text := left(error, 10000);
  leased subscription_partitions;
  tried bigint;
  parks boolean;
BEGIN
  SELECT p.* INTO leased
  FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = fail_message.partition
    AND p.token = fail_message.token
  FOR UPDATE;
  IF leased.token IS NULL THEN
    PERFORM _refuse_lease(subscription, partition, token);
  ELSIF leased.leased_until IS NULL THEN
    -- The lease was given back with the failure: the answer was lost, and this asks for it again.
    IF (leased.failed_position = global_position) IS NOT TRUE THEN
      PERFORM _refuse_lease(subscription, partition, token);
    END IF;
    RETURN CASE WHEN leased.stopped THEN 'stop' ELSE 'retry' END;
  END IF;

  -- A parked message that was replayed and failed once more?
  UPDATE parked_messages AS k
  SET
    attempts = k.attempts + 1,
    -- An error may quote its message: of one that was deleted meanwhile nothing is kept.
    error = (SELECT told FROM _message_at(k.global_position)),
    replay = false
  WHERE k.subscription_id = source.subscription_id
    AND k.global_position = fail_message.global_position
    AND k.partition = fail_message.partition
    AND k.replay;
  IF FOUND THEN
    RETURN 'park';
  ELSIF (
    global_position > leased.checkpoint
    AND global_position < 9223372036854775807
    AND _subscription_has(source, partition, global_position - 1, global_position + 1)
  ) IS NOT TRUE THEN
    IF global_position BETWEEN leased.checkpoint + 1 AND (
      SELECT w.position
      FROM _swept_position(source.subscription_id, leased.swept_position) AS w (position)
    ) AND (
      SELECT
        (source.metadata IS NULL OR m.metadata @> source.metadata)
        AND (source.tags IS NULL OR m.tags @> source.tags)
      FROM _message_at(fail_message.global_position) AS m
    ) IS NOT TRUE THEN
      -- It was deleted or redacted meanwhile: there is nothing to try again.
      PERFORM release_partition(subscription, partition, token);
      RETURN 'retry';
    END IF;
    PERFORM _refuse_value(
      'global_position', 'must be that of a message that fetch_batch gave',
      to_jsonb(global_position)
    );
  END IF;

  tried := 1 + CASE WHEN leased.failed_position = global_position THEN leased.attempts ELSE 0 END;
  parks := tried >= source.max_attempts AND source.on_failure = 'park';
  IF parks AND NOT _subscription_has(source, partition, leased.checkpoint, global_position) THEN
    INSERT INTO parked_messages (
      subscription_id, global_position, partition, attempts, parked_at, replay, error
    )
    VALUES (
      source.subscription_id, fail_message.global_position, fail_message.partition, tried,
      clock_timestamp(), false, told
    )
    ON CONFLICT ON CONSTRAINT parked_messages_subscription_id_global_position_pkey
    DO UPDATE SET
      attempts = excluded.attempts, parked_at = excluded.parked_at, error = excluded.error;
    PERFORM acknowledge(subscription, partition, token, global_position);
    RETURN 'park';
  END IF;

  UPDATE subscription_partitions AS p
  SET
    attempts = tried,
    failed_position = fail_message.global_position,
    error = told,
    stopped = tried >= source.max_attempts AND NOT parks,
    leased_until = NULL,
    retry_at = clock_timestamp()
      + least(least(source.retry_delay, '1 hour') * power(2, least(tried - 1, 30)), '1 hour')
  WHERE p.subscription_id = source.subscription_id AND p.partition = fail_message.partition;
  RETURN CASE WHEN tried >= source.max_attempts AND NOT parks THEN 'stop' ELSE 'retry' END;
END
$$;

COMMENT ON FUNCTION fail_message(text, bigint, bigint, bigint, text) IS
$$Report that handling a message failed, after the handler's transaction was rolled back. Return the
consequence: retry (the partition is released and handed out again after the pause), stop (it is
held until resume_subscription), or park (the message is parked and the lease continues after it). A
message is not parked before those that come before it have been acknowledged: where its batch was
rolled back with it, retry follows once more. To report a failure again, after a lost answer, does
not count it again. Of the error, the first 10,000 characters are kept. Raises MS020 if the lease is
lost; 22023 for another message than one that fetch_batch can have given.$$;
