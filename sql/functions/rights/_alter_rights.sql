CREATE OR REPLACE FUNCTION _alter_rights(
  role text,
  names text[],
  granted boolean
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  object record;
BEGIN
  FOR object IN
    SELECT 'EXECUTE ON FUNCTION' AS what, p.proname AS name
    FROM pg_proc AS p
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.proname = ANY (names)
    UNION ALL
    SELECT 'SELECT ON', c.relname
    FROM pg_class AS c
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
      AND c.relkind = 'v'
      AND c.relname = ANY (names)
  LOOP
    -- Dynamic, because GRANT takes no parameters. A name tells a function: none is overloaded.
    EXECUTE format(
      CASE WHEN granted THEN 'GRANT %s %I TO %I' ELSE 'REVOKE %s %I FROM %I' END,
      object.what, object.name, role
    );
  END LOOP;
END
$$;

COMMENT ON FUNCTION _alter_rights(text, text[], boolean) IS
$$Internal: grant a role the functions and views of these names, or revoke them.$$;
