CREATE OR REPLACE FUNCTION delete_stream(
  stream text,
  expected_version bigint DEFAULT NULL,
  reason text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  target record;
  deleted bigint;
  failed text;
BEGIN
  PERFORM _refuse_stranger('delete_stream');
  LOOP
    BEGIN
      target := _lock_stream(stream);
      IF expected_version <> target.version THEN
        RAISE EXCEPTION USING
          ERRCODE = 'MS001',
          MESSAGE = format(
            'stream %s is at version %s, expected version %s',
            stream, target.version, expected_version
          ),
          DETAIL = json_build_object(
            'stream', stream, 'expected_version', expected_version,
            'actual_version', target.version
          )::text,
          HINT = 'Look at the messages that were added, and decide again whether to delete the '
            'stream at the version it has now. Nothing was deleted.';
      END IF;
      deleted := _cut_stream(target.stream_id, category(stream), target.floor + 1, target.version);
      PERFORM _drop_states(target.stream_id, 1);
      PERFORM _forget_scheduled(stream);
      EXIT;
    EXCEPTION
      -- A handler holds a row with an error, and may write to this stream before it commits: the
      -- stream's lock was given back with this block.
      WHEN object_in_use THEN
        GET STACKED DIAGNOSTICS failed = PG_EXCEPTION_DETAIL;
    END;
    PERFORM _wait_for_handlers(failed::bigint[]);
  END LOOP;
  PERFORM _record_audit(
    'delete_stream', stream, reason,
    jsonb_build_object('version', target.version, 'deleted', deleted)
  );
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION delete_stream(text, bigint, text) IS
$$Delete all messages and snapshots of a stream, if it is at expected_version (NULL: in any case);
answers how many messages. Its scheduled messages are forgotten, except those that another
transaction cancels at this moment. Its name and version stay: a message written to it later gets
the next version, expected_version 0 is refused, and load_stream raises MS008. Locks the stream
against writers until the transaction ends. Written to the audit. Raises 22023 if there is no such
stream; MS001 if it is at another version; MS004 unless under READ COMMITTED.$$;
