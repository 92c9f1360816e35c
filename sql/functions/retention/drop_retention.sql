CREATE OR REPLACE FUNCTION drop_retention(
  category text,
  reason text DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('drop_retention');
  DELETE FROM retention_policies AS p WHERE p.category = drop_retention.category;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM _record_audit('drop_retention', category, reason, '{}');
  RETURN true;
END
$$;

COMMENT ON FUNCTION drop_retention(text, text) IS
$$Keep the messages of a category for ever again; false if it has no policy. Written to the
audit.$$;
