CREATE OR REPLACE FUNCTION record_audit(
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
      nextval('audit_id_seq'), clock_timestamp(), session_user, acting_role(), record_audit.action,
      record_audit.subject, record_audit.reason, record_audit.detail
    )
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    PERFORM refuse_sequences();  -- the number was in use
  END LOOP;
END
$$;

COMMENT ON FUNCTION record_audit(text, text, text, jsonb) IS
$$Internal: write down who did what to what, and why. Raises MS007 if the sequence of the entries is
behind.$$;
