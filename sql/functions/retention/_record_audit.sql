CREATE OR REPLACE FUNCTION _record_audit(
  action text,
  subject text,
  reason text,
  detail jsonb
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  LOOP
    INSERT INTO audit (
      audit_id, done_at, session_role, acting_role, action, subject, reason, detail
    )
    VALUES (
      nextval('audit_id_seq'), clock_timestamp(), session_user, _acting_role(),
      _record_audit.action, _record_audit.subject, _record_audit.reason, _record_audit.detail
    )
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    PERFORM _refuse_sequences();  -- the number was in use
  END LOOP;
END
$$;

COMMENT ON FUNCTION _record_audit(text, text, text, jsonb) IS
$$Internal: write down the role, its action, the subject and the reason. Raises MS007 if the
sequence of the entries is behind.$$;
