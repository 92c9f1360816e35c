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
AS $$
#variable_conflict use_column
DECLARE
  target record;
  deleted bigint;
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
  PERFORM _record_audit(
    'truncate_stream', stream, reason,
    jsonb_build_object(
      'before_version', before_version, 'version', target.version, 'deleted', deleted
    )
  );
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION truncate_stream(text, bigint, text) IS
$$Delete the messages of a stream before a version; answers how many. The stream keeps its version:
the next message gets the next one, also when all are gone. Locks the stream against writers until
the transaction ends. Written to the audit. Raises 22023 if there is no such stream or the version
is beyond its end; MS004 unless under READ COMMITTED.$$;
