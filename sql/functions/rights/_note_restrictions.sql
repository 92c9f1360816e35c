CREATE OR REPLACE FUNCTION _note_restrictions()
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
  IF restricted <> _writers_restricted() THEN
    -- Dynamic, because its body is a constant.
    EXECUTE format(
      'CREATE OR REPLACE '
      'FUNCTION _writers_restricted() RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE '
      'RETURN boolean %L',
      restricted
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _note_restrictions() IS
$$Internal: have _writers_restricted() say what grants says. The caller holds _lock_rights().$$;
