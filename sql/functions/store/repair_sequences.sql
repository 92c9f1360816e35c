CREATE OR REPLACE FUNCTION repair_sequences()
RETURNS TABLE (
  sequence text,
  value_before bigint,
  value_after bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('repair_sequences');
  PERFORM _refuse_isolation();
  -- One of these at a time, and none beside skip_positions or an import that keeps positions: the
  -- later setval could set a sequence back. An INSERT locks its table before it draws a number.
  PERFORM _lock_rights();
  LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
  LOCK TABLE streams IN SHARE ROW EXCLUSIVE MODE;
  RETURN QUERY
  SELECT l.sequence, l.last_value, setval(to_regclass(l.sequence), l.highest)
  FROM list_sequences() AS l
  WHERE l.last_value < l.highest;
END
$$;

COMMENT ON FUNCTION repair_sequences() IS
$$Set each sequence of the store that is behind to the highest number that is stored; return those
that were set. For a store whose tables were copied without their sequences, as logical replication
does, or whose sequences were set back by hand (MS007). Waits for open writers, and writers wait for
it until the transaction ends. If readers outside the database may have seen messages that are not
in this store, call skip_positions() too. For the store's owner only. Raises MS004 unless under READ
COMMITTED.$$;
