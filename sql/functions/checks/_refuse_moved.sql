CREATE OR REPLACE FUNCTION _refuse_moved(
  new_conninfo text
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'MS030',
    MESSAGE = format('store %I is closed, and has another place', current_schema()),
    DETAIL = json_build_object('store', current_schema(), 'conninfo', new_conninfo)::text,
    HINT = 'Nothing was stored. Connect to the place in DETAIL, and call it again there.';
END
$$;

COMMENT ON FUNCTION _refuse_moved(text) IS
$$Internal: raise MS030 with the store's new place. For each call while a fence closes the store.$$;
