CREATE OR REPLACE FUNCTION acknowledge(
  subscription text,
  partition bigint,
  token bigint,
  checkpoint bigint,
  release boolean DEFAULT false
)
RETURNS void
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
BEGIN
  UPDATE subscription_partitions AS p
  SET
    checkpoint = acknowledge.checkpoint,
    attempts = CASE
      WHEN p.failed_position > acknowledge.checkpoint THEN p.attempts ELSE 0
    END,
    failed_position = CASE
      WHEN p.failed_position > acknowledge.checkpoint THEN p.failed_position
    END,
    error = CASE WHEN p.failed_position > acknowledge.checkpoint THEN p.error END,
    leased_until = CASE WHEN NOT acknowledge.release THEN p.leased_until END,
    leases = CASE WHEN p.checkpoint = acknowledge.checkpoint THEN p.leases ELSE 0 END,
    alone = CASE
      WHEN p.checkpoint = acknowledge.checkpoint THEN p.alone ELSE greatest(p.alone - 1, 0)
    END
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = acknowledge.partition
    AND p.token = acknowledge.token
    AND p.checkpoint <= acknowledge.checkpoint
    AND acknowledge.checkpoint <= (
      SELECT w.position FROM _swept_position(p.subscription_id, p.swept_position) AS w (position)
    );
  IF FOUND THEN
    IF source.partitions > 1 THEN
      DELETE FROM subscription_work AS w
      WHERE w.subscription_id = source.subscription_id
        AND w.partition = acknowledge.partition
        AND w.last_position <= acknowledge.checkpoint;
    END IF;
    RETURN;
  END IF;

  PERFORM FROM subscription_partitions AS p
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = acknowledge.partition
    AND p.token = acknowledge.token;
  IF NOT FOUND THEN
    PERFORM _refuse_lease(subscription, partition, token);
  END IF;
  PERFORM _refuse_argument(
    'checkpoint', 'must be one that fetch_batch gave, not before the last one acknowledged',
    jsonb_build_object('checkpoint', acknowledge.checkpoint)
  );
END
$$;

COMMENT ON FUNCTION acknowledge(text, bigint, bigint, bigint, boolean) IS
$$Move the checkpoint of a leased partition: everything up to it has been dealt with. In the
handler's own transaction, its effects and the checkpoint are one: exactly once. With release, the
lease is given back with it. Raises MS020 if the lease is lost, which takes the handler's effects
with it; 22023 if checkpoint is before the last one, or beyond the positions that fetch_batch can
have given.$$;
