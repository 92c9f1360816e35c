CREATE OR REPLACE FUNCTION applied_migrations()
RETURNS TABLE (
  number bigint,
  checksum text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT m.number, m.checksum FROM migrations AS m WHERE _in_store() ORDER BY m.number;
END
$$;

COMMENT ON FUNCTION applied_migrations() IS
$$Return the number and SHA-256 of each installed migration, and in row 0 the checksum of the
functions, views and grants.$$;
