CREATE OR REPLACE FUNCTION _refuse_isolation()
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- On a standby the published horizon and the messages come from one snapshot.
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')
    AND NOT pg_is_in_recovery()
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS004',
      MESSAGE = format(
        'this function runs under READ COMMITTED only, not under %s',
        upper(current_setting('transaction_isolation'))
      ),
      DETAIL = json_build_object('isolation', current_setting('transaction_isolation'))::text,
      HINT = 'The transaction''s snapshot can be older than what was written since, so messages '
        'could be passed over. Use READ COMMITTED.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_isolation() IS
$$Internal: raise MS004 unless the transaction runs under READ COMMITTED, or on a
standby.$$;
