CREATE OR REPLACE FUNCTION _fenced_tables()
RETURNS SETOF name
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT c.relname
  FROM pg_class AS c
  WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
    AND c.relkind = 'r'
    AND c.relpersistence = 'p'
    AND c.relname <> 'store_fence'
  -- As imports lock them.
  ORDER BY c.relname <> 'messages', c.relname <> 'streams', c.relname;
END;

COMMENT ON FUNCTION _fenced_tables() IS
$$Internal: return the tables that a fence closes: all but the one that holds it, and unlogged ones,
in which nothing of the store is kept.$$;
