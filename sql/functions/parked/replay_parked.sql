CREATE OR REPLACE FUNCTION replay_parked(
  subscription text,
  global_position bigint DEFAULT NULL
)
RETURNS bigint
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
  source record;
  marked bigint;
BEGIN
  PERFORM _refuse_stranger('replay_parked');
  source := _lock_subscription(subscription);
  PERFORM _lock_parked(source.subscription_id, global_position);
  UPDATE parked_messages AS k
  SET replay = true
  WHERE k.subscription_id = source.subscription_id
    AND (replay_parked.global_position IS NULL
      OR k.global_position = replay_parked.global_position)
    -- Not EXISTS: for a join the planner may walk along all messages (tests/plans).
    AND (SELECT m.global_position FROM _message_at(k.global_position) AS m) IS NOT NULL;
  GET DIAGNOSTICS marked = ROW_COUNT;
  PERFORM _notify_sleepers();
  RETURN marked;
END
$$;

COMMENT ON FUNCTION replay_parked(text, bigint) IS
$$Have one parked message, or all, handed out again; return how many. The worker of its partition
handles it, and it stays parked if it fails once more. A message that was deleted since is left out.
Raises MS021 for an unknown subscription.$$;
