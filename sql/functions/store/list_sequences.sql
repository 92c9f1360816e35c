CREATE OR REPLACE FUNCTION list_sequences()
RETURNS TABLE (
  sequence text,
  last_value bigint,
  highest bigint
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT
    -- After the statement's snapshot: no number in its rows was drawn later.
    q.sequence, greatest(pg_sequence_last_value(to_regclass(q.sequence)), 0),
    coalesce(q.highest, 0)
  FROM (
    VALUES
      (
        text 'global_position_seq',
        greatest(
          (SELECT max(m.global_position) FROM messages AS m WHERE m.global_position > 0),
          (SELECT max(greatest(p.checkpoint, p.swept_position)) FROM subscription_partitions AS p),
          (SELECT max(w.swept_position) FROM subscription_sweeps AS w),
          (SELECT max(k.global_position) FROM parked_messages AS k),
          (SELECT max(greatest(r.reached_position, r.keep_after)) FROM retention_policies AS r),
          (SELECT max(h.safe_position) FROM store_horizon AS h)
        )
      ),
      ('stream_id_seq', (SELECT max(s.stream_id) FROM streams AS s WHERE s.stream_id > 0)),
      ('subscription_id_seq', (SELECT max(s.subscription_id) FROM subscriptions AS s)),
      ('audit_id_seq', (SELECT max(a.audit_id) FROM audit AS a))
  ) AS q (sequence, highest)
  WHERE _in_store();
END
$$;

COMMENT ON FUNCTION list_sequences() IS
$$List the store's sequences: the last number that each gave out (0: none), and the highest one that
is stored. If last_value is lower than highest, the sequence is behind: repair_sequences().$$;
