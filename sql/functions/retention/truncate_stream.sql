CREATE OR REPLACE FUNCTION truncate_stream(
  stream text,
  before_version bigint,
  reason text DEFAULT NULL
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
  target record;
  deleted bigint;
  had_snapshots boolean;
  snapshots_left bigint;
  failed text;
BEGIN
  PERFORM _refuse_stranger('truncate_stream');
  LOOP
    BEGIN
      target := _lock_stream(stream);
      IF (before_version BETWEEN 1 AND target.version + 1) IS NOT TRUE THEN
        PERFORM _refuse_argument(
          'before_version', 'must be between 1 and the version after the stream''s last one',
          jsonb_build_object('before_version', before_version, 'version', target.version)
        );
      END IF;
      had_snapshots := EXISTS (
        SELECT FROM snapshots AS n WHERE n.stream_id = target.stream_id
      );
      deleted := _cut_stream(
        target.stream_id, category(stream), target.floor + 1, before_version - 1
      );
      EXIT;
    EXCEPTION
      -- As in delete_stream.
      WHEN object_in_use THEN
        GET STACKED DIAGNOSTICS failed = PG_EXCEPTION_DETAIL;
    END;
    PERFORM _wait_for_handlers(failed::bigint[]);
  END LOOP;
  snapshots_left := (
    SELECT count(*) FROM snapshots AS n WHERE n.stream_id = target.stream_id
  );
  IF had_snapshots AND snapshots_left = 0 THEN
    RAISE WARNING USING
      MESSAGE = format('no snapshot of stream %s has the messages that were deleted', stream),
      HINT = 'load_stream raises MS008 for it now. Roll back, and save a snapshot first.';
  END IF;
  PERFORM _record_audit(
    'truncate_stream', stream, reason,
    jsonb_build_object(
      'before_version', before_version, 'version', target.version, 'deleted', deleted,
      'snapshots', snapshots_left
    )
  );
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION truncate_stream(text, bigint, text) IS
$$Delete the messages of a stream before a version; answers how many. The stream keeps its version:
the next message gets the next one, also when all are gone. Snapshots that have all deleted messages
stay, and the others are dropped; if none is left, load_stream raises MS008 for the stream from then
on, and the call warns. Locks the stream against writers until the transaction ends. Written to the
audit, with the number of snapshots that are left. Raises 22023 if there is no such stream or the
version is beyond its end; MS004 unless under READ COMMITTED.$$;
