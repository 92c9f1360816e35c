CREATE OR REPLACE FUNCTION _closed_body(
  new_conninfo text
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN format('BEGIN PERFORM _refuse_moved(%L); RETURN false; END', new_conninfo);

COMMENT ON FUNCTION _closed_body(text) IS
$$Internal: return the body that _is_open() has while a fence closes the store.$$;
