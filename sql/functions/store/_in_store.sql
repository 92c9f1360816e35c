CREATE OR REPLACE FUNCTION _in_store()
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN true;

COMMENT ON FUNCTION _in_store() IS
$$Internal: true. A statement that calls it fails if the schema was renamed: without it, the names
of tables in a function would then mean temporary tables and views of the caller, whose code would
run as the owner. Inlined into its callers, hence without a search_path of its own.$$;
