CREATE OR REPLACE FUNCTION list_audit(
  max_count bigint DEFAULT 100,
  before_id bigint DEFAULT NULL
)
RETURNS SETOF audit
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('list_audit');
  IF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  END IF;
  RETURN QUERY
  SELECT
    a.audit_id, a.done_at, a.session_role, a.acting_role, a.action, a.subject, a.reason, a.detail
  FROM audit AS a
  WHERE a.audit_id < coalesce(before_id, 9223372036854775807)
  ORDER BY a.audit_id DESC
  LIMIT max_count;
END
$$;

COMMENT ON FUNCTION list_audit(bigint, bigint) IS
$$Return the audit, a list of changes to stored messages and to rights: the latest first, at
most max_count, before entry before_id if that is given. Raises 22023 for a bad argument.$$;
