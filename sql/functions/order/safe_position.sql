CREATE OR REPLACE FUNCTION safe_position()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN (horizon()).safe_position;
END
$$;

COMMENT ON FUNCTION safe_position() IS
$$The global position up to which the store can be read without passing a message in flight; 0 while
it is empty. See horizon().$$;
