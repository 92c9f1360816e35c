CREATE OR REPLACE FUNCTION _refuse_target(
  stream text,
  stream_id bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  caller text := _acting_role();
BEGIN
  IF _writers_restricted() AND NOT _may_write(caller, category(stream)) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('role %s may not write to category %s', caller, category(stream)),
      DETAIL = json_build_object(
        'role', caller, 'stream', stream, 'category', category(stream)
      )::text,
      HINT = 'Nothing was stored. grant_access gives a role the right to write, to some categories '
        'or to all.';
  END IF;

  -- A snapshot for the whole transaction may be older than messages that were written and cut off
  -- since: no unique index knows those versions any more. Locking the row raises 40001 then.
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    PERFORM FROM streams AS s WHERE s.stream_id = _refuse_target.stream_id FOR SHARE;
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_target(text, bigint) IS
$$Internal: raise 42501 if the caller may not write to the stream's category; 40001 if the stream
was cut off after the transaction's snapshot.$$;
