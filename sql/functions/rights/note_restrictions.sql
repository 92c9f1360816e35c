CREATE OR REPLACE FUNCTION note_restrictions()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  restricted boolean := EXISTS (
    SELECT FROM grants AS g WHERE g.kind = 'write' AND g.categories IS NOT NULL
  );
BEGIN
  IF restricted <> writers_restricted() THEN
    -- Dynamic, because its body is a constant.
    EXECUTE format(
      'CREATE OR REPLACE '
      'FUNCTION writers_restricted() RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE '
      'RETURN boolean %L',
      restricted
    );
  END IF;
END
$$;

COMMENT ON FUNCTION note_restrictions() IS
$$Internal: have writers_restricted() say what grants says. The caller holds lock_rights().$$;
