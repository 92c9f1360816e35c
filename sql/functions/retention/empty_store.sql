CREATE OR REPLACE FUNCTION empty_store(
  store text,
  reason text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
-- While this waits for its lock, all later transactions wait behind it: rather give up soon.
SET lock_timeout = '3s'
AS $$
#variable_conflict use_column
DECLARE
  failed bigint[];
  deleted bigint;
  parked bigint;
BEGIN
  PERFORM _refuse_stranger('empty_store');
  IF (store = current_schema() COLLATE "C") IS NOT TRUE THEN
    PERFORM _refuse_value('store', 'must be the name of the store, to confirm', to_jsonb(store));
  END IF;
  PERFORM _refuse_isolation();
  LOOP
    BEGIN
      -- Instead of the locks of all streams: no writer computes a version meanwhile.
      LOCK TABLE messages IN ACCESS EXCLUSIVE MODE;
      LOCK TABLE streams IN ROW EXCLUSIVE MODE;  -- as in _cut_stream
      SELECT array_agg(DISTINCT e.global_position) INTO failed FROM _kept_errors() AS e;
      PERFORM _forget_errors(failed);
      EXIT;
    EXCEPTION
      WHEN object_in_use THEN
        NULL;  -- as in delete_stream
    END;
    PERFORM _wait_for_handlers(failed);
  END LOOP;

  -- Not TRUNCATE: a reader of tags locks this table before that of messages. Before the
  -- rows of streams, as in _cut_stream.
  DELETE FROM message_tags;
  WITH ends AS MATERIALIZED (
    SELECT s.stream_id, s.floor, l.version
    FROM streams AS s
    CROSS JOIN LATERAL _last_version(s.stream_id) AS l (version)
  ),
  raised AS (
    UPDATE streams AS s
    SET floor = e.version
    FROM ends AS e
    WHERE s.stream_id = e.stream_id
  )
  SELECT coalesce(sum(e.version - e.floor), 0)::bigint INTO deleted FROM ends AS e;
  TRUNCATE messages;
  DELETE FROM snapshots;
  INSERT INTO stream_changes AS c (stream_id, changes)
  SELECT s.stream_id, 1 FROM streams AS s
  ON CONFLICT (stream_id) DO UPDATE SET changes = c.changes + 1;
  PERFORM _forget_scheduled(NULL);

  -- As _forget_errors, these leave out what a handler has locked.
  WITH free AS MATERIALIZED (
    SELECT k.subscription_id, k.global_position
    FROM parked_messages AS k
    FOR UPDATE SKIP LOCKED
  )
  DELETE FROM parked_messages AS k
  USING free AS f
  WHERE k.subscription_id = f.subscription_id AND k.global_position = f.global_position;
  GET DIAGNOSTICS parked = ROW_COUNT;
  WITH free AS MATERIALIZED (
    SELECT p.subscription_id, p.partition
    FROM subscription_partitions AS p
    WHERE p.failed_position IS NOT NULL
    FOR UPDATE SKIP LOCKED
  )
  UPDATE subscription_partitions AS p
  SET attempts = 0, failed_position = NULL, retry_at = NULL, stopped = false, alone = 0
  FROM free AS f
  WHERE p.subscription_id = f.subscription_id AND p.partition = f.partition;

  PERFORM _record_audit(
    'empty_store', store, reason, jsonb_build_object('deleted', deleted, 'parked', parked)
  );
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION empty_store(text, text) IS
$$Delete all messages and snapshots of the store; return how many messages. store is its name, to
confirm. Later writes continue where the store was: positions rise, streams keep their names and
versions, subscriptions their checkpoints, categories their policies of retention. load_stream
raises MS008 for each stream that had messages. Parked and scheduled messages are forgotten, and
partitions that a failed message had stopped continue. Waits for open transactions that read or
write messages; all other readers and writers wait for it until the transaction ends. Raises 55P03
if it cannot have its lock within 3 seconds. A transaction that began before, under REPEATABLE READ
or SERIALIZABLE, can find no messages either. Written to the audit. Raises 22023 if store is another
name; MS004 unless under READ COMMITTED.$$;
