CREATE OR REPLACE FUNCTION _closed_body(
  new_conninfo text
)
RETURNS text
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN format('BEGIN PERFORM _refuse_moved(%L); RETURN false; END', new_conninfo);
END
$$;

COMMENT ON FUNCTION _closed_body(text) IS
$$Internal: return the body that _is_open() has while a fence closes the store.$$;
