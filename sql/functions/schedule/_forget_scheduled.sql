CREATE OR REPLACE FUNCTION _forget_scheduled(
  of_stream text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
-- As list_scheduled.
SET plan_cache_mode = force_custom_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- The callers keep writers off. A handler that has cancelled a message may wait for them before
  -- it writes, so to wait for its row here would deadlock.
  WITH free AS MATERIALIZED (
    SELECT d.message_id
    FROM scheduled_messages AS d
    WHERE of_stream IS NULL OR d.stream = of_stream COLLATE "C"
    FOR UPDATE SKIP LOCKED
  )
  DELETE FROM scheduled_messages AS d
  USING free AS f
  WHERE d.message_id = f.message_id;
END
$$;

COMMENT ON FUNCTION _forget_scheduled(text) IS
$$Internal: forget the scheduled messages of a stream (NULL: of all streams), except those that
another transaction cancels at this moment.$$;
