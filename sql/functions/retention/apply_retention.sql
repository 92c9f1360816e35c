CREATE OR REPLACE FUNCTION apply_retention(
  max_messages bigint DEFAULT 1000,
  OUT deleted bigint,
  OUT more boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET lock_timeout = '500ms'
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  name text;
  locked record;
  cut record;
  busy_policy record;
  busy text;
BEGIN
  PERFORM _refuse_stranger('apply_retention');
  IF (max_messages BETWEEN 1 AND 10000) IS NOT TRUE THEN
    PERFORM _refuse_value('max_messages', 'must be between 1 and 10000', to_jsonb(max_messages));
  END IF;
  PERFORM _refuse_isolation();
  safe := safe_position();
  deleted := 0;
  more := false;

  -- In any order, so that no category is always the last.
  FOR name IN SELECT p.category FROM retention_policies AS p ORDER BY random() LOOP
    IF deleted >= max_messages THEN
      more := true;
      EXIT;
    END IF;
    -- One works on a category at a time; the others take other categories.
    SELECT p AS policy INTO locked
    FROM retention_policies AS p
    WHERE p.category = name
    FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    cut := _apply_policy(locked.policy, safe, max_messages - deleted);
    deleted := deleted + cut.deleted;
    more := more OR cut.more;
    IF cut.busy_stream IS NOT NULL THEN
      busy := cut.busy_stream;
      busy_policy := locked;
    END IF;
  END LOOP;
  IF deleted > 0 OR busy IS NULL THEN
    RETURN;
  END IF;

  -- Nothing but streams that somebody writes to all the time: stand in one's row, once. No stream
  -- was locked for deletion, and the wait is shorter than it takes the server to look for
  -- deadlocks.
  BEGIN
    PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(busy COLLATE "C"));
    cut := _apply_policy(busy_policy.policy, safe, max_messages);
    deleted := cut.deleted;
  EXCEPTION WHEN lock_not_available THEN
    more := true;
  END;
END
$$;

COMMENT ON FUNCTION apply_retention(bigint) IS
$$Delete messages by the policies of set_retention, the oldest first, at most max_messages (up to
10,000), in one short transaction. Return how many were deleted, and whether there are more. Call it
in a transaction of its own, again while there are more, with a pause in between; if none was
deleted though there are more, their streams are in use. It deletes only the first messages of a
stream, none after the safe position, and none that a subscription still has to handle unless the
policy says so. Snapshots that have all deleted messages of a stream stay, and the others are
dropped; if none is left, load_stream raises MS008 for the stream from then on. Each deletion is
written to the audit. Several may run at once: they take different categories. Raises 22023 for a
bad argument, MS004 and MS005 as read_all.$$;
