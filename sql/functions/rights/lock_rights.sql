CREATE OR REPLACE FUNCTION lock_rights()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The installer's lock: two that change the rights on one function fail, whatever they change.
  PERFORM pg_advisory_xact_lock(
    ('x' || left(md5('pgstore:install:' || current_schema()), 16))::bit(64)::bigint
  );
END
$$;

COMMENT ON FUNCTION lock_rights() IS
$$Internal: have one change the rights on the store at a time, and not during an upgrade.$$;
