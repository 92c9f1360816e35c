CREATE OR REPLACE FUNCTION settle_parked(
  subscription text,
  partition bigint,
  token bigint,
  global_position bigint
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
  -- The lease is locked for as long as the transaction lasts, so that nobody replays it meanwhile.
  UPDATE subscription_partitions AS p
  SET leases = 0  -- progress, if not of the checkpoint
  WHERE p.subscription_id = source.subscription_id
    AND p.partition = settle_parked.partition
    AND p.token = settle_parked.token;
  IF NOT FOUND THEN
    PERFORM _refuse_lease(subscription, partition, token);
  END IF;
  DELETE FROM parked_messages AS k
  WHERE k.subscription_id = source.subscription_id
    AND k.global_position = settle_parked.global_position
    AND k.partition = settle_parked.partition
    AND k.replay;
  IF NOT FOUND THEN
    PERFORM _refuse_value(
      'global_position', 'must be that of a parked message of this partition under replay',
      to_jsonb(global_position)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION settle_parked(text, bigint, bigint, bigint) IS
$$Acknowledge a parked message that was replayed, in the handler's own transaction. Raises MS020 if
the lease is lost; 22023 if it is not under replay.$$;
