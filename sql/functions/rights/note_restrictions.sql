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
  IF restricted AND NOT writers_restricted() THEN
    CREATE OR REPLACE FUNCTION writers_restricted()
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE
    PARALLEL SAFE
    RETURN true;
  ELSIF NOT restricted AND writers_restricted() THEN
    CREATE OR REPLACE FUNCTION writers_restricted()
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE
    PARALLEL SAFE
    RETURN false;
  END IF;
END
$$;

COMMENT ON FUNCTION note_restrictions() IS
$$Internal: have writers_restricted() say what grants says. The caller holds lock_rights().$$;
