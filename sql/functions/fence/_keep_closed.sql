CREATE OR REPLACE FUNCTION _keep_closed()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
-- Without it, a role with a right of its own on a table gets 42501 instead of the place.
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The place is the trigger's argument. A row of a table would not do: the snapshot of the
  -- transaction can be older than the fence.
  PERFORM _refuse_moved(tg_argv[0]);
  RETURN NULL;
END
$$;

COMMENT ON FUNCTION _keep_closed() IS
$$Internal: raise MS030 with the place in the trigger's argument. fence_store puts it before each
change of each table.$$;
