CREATE OR REPLACE FUNCTION fence_of_store()
RETURNS TABLE (
  new_conninfo text,
  fenced_at timestamptz,
  role text
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
  RETURN QUERY SELECT f.new_conninfo, f.fenced_at, f.role FROM store_fence AS f WHERE _in_store();
END
$$;

COMMENT ON FUNCTION fence_of_store() IS
$$Return the fence that closes the store: its new place, since when, and the role that closed it; no
row if the store is open.$$;
