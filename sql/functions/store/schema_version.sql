CREATE OR REPLACE FUNCTION schema_version()
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (SELECT max(m.number) FROM migrations AS m WHERE _in_store());
END
$$;

COMMENT ON FUNCTION schema_version() IS
$$Number of the last migration that was applied to this store.$$;
