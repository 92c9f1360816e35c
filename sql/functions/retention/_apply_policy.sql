CREATE OR REPLACE FUNCTION _apply_policy(
  policy retention_policies,
  safe bigint,
  max_messages bigint,
  OUT deleted bigint,
  OUT more boolean,
  OUT busy_stream text
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  bound bigint := safe;
  counted_before bigint := policy.keep_after;
BEGIN
  IF policy.keep_unhandled THEN
    bound := least(safe, _handled_position(policy.category));
  END IF;
  policy.keep_after := _count_kept(policy, safe);
  SELECT c.deleted, c.more, c.busy_stream INTO deleted, more, busy_stream
  FROM _cut_category(policy, bound, max_messages) AS c;
  IF deleted > 0 THEN
    PERFORM _record_audit(
      'apply_retention', policy.category, NULL, jsonb_build_object('deleted', deleted)
    );
    -- Counted some time ago: now that this is gone, it is to be counted again.
    more := more OR coalesce(policy.keep_after = counted_before, false);
  END IF;
END
$$;

COMMENT ON FUNCTION _apply_policy(retention_policies, bigint, bigint) IS
$$Internal: delete a batch of messages by a policy, and write it to the audit. The caller has locked
the policy.$$;
