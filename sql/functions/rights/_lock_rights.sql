CREATE OR REPLACE FUNCTION _lock_rights()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
-- As an installer waits. Each role that may connect can take this key.
SET lock_timeout = '60s'
AS $$
#variable_conflict use_column
BEGIN
  -- The installer's lock: two that change the rights on one function fail, whatever they change.
  PERFORM pg_advisory_xact_lock(
    hashtextextended('pgstore:install:' || current_schema() COLLATE "C", 0)
  );
END
$$;

COMMENT ON FUNCTION _lock_rights() IS
$$Internal: let one session at a time change the rights on the store, or skip positions, and none
during an upgrade. Raises 55P03 if another session holds the key for a minute.$$;
