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
    SELECT p.proname AS name, false AS is_view
    FROM pg_proc AS p
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.proname = ANY (names)
    UNION ALL
    SELECT c.relname, true
    FROM pg_class AS c
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
      AND c.relkind = 'v'
      AND c.relname = ANY (names)
  LOOP
    -- Dynamic, because GRANT takes no parameters. A name tells a function: none is overloaded.
    IF object.is_view AND granted THEN
      EXECUTE format('GRANT SELECT ON %I TO %I', object.name, role);
    ELSIF object.is_view THEN
      EXECUTE format('REVOKE SELECT ON %I FROM %I', object.name, role);
    ELSIF granted THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO %I', object.name, role);
    ELSE
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %I FROM %I', object.name, role);
    END IF;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _alter_rights(text, text[], boolean) IS
$$Internal: grant a role the functions and views of these names, or revoke them.$$;
