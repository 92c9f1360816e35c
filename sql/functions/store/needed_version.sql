CREATE OR REPLACE FUNCTION needed_version()
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN 11;

COMMENT ON FUNCTION needed_version() IS
$$The lowest schema version that a package must know to use this store: the number of the last
migration that is breaking. A package that knows this version and not the store's schema_version()
uses the store as it is; it cannot upgrade it.$$;
