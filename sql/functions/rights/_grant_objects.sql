CREATE OR REPLACE FUNCTION _grant_objects(
  role text,
  kind text
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
  -- Dynamic, because GRANT takes no parameters. A name tells a function: none is overloaded.
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
  FOR object IN SELECT o.kind, o.name FROM _granted_objects(_granted_names(kind)) AS o LOOP
    IF object.kind = 'function' THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO %I', object.name, role);
    ELSE
      EXECUTE format('GRANT SELECT ON %I TO %I', object.name, role);
    END IF;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _grant_objects(text, text) IS
$$Internal: grant a role what belongs to a kind of rights.$$;
