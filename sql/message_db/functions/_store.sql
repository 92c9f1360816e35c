CREATE OR REPLACE FUNCTION message_store._store()
RETURNS text
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Not current_schema(): that is NULL for a role without rights in the store.
  RETURN (parse_ident(left(current_setting('search_path'), -length(', pg_temp'))))[1];
END
$$;

COMMENT ON FUNCTION message_store._store() IS
$$Internal: return the name of the store that this interface is over. An installation takes a schema
that has this function for the interface.$$;
