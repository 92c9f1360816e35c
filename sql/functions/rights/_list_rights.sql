CREATE OR REPLACE FUNCTION _list_rights()
RETURNS TABLE (
  kind text,
  name text,
  owner oid,
  rights aclitem[]
)
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
BEGIN ATOMIC
  SELECT o.kind, o.name, o.owner, o.rights
  FROM pg_namespace AS n
  CROSS JOIN LATERAL (
    -- Each type is written out, so that a dump writes the function as it is here.
    SELECT text 'schema' AS kind, n.nspname::text AS name, n.nspowner AS owner, n.nspacl AS rights
    UNION ALL
    SELECT text 'relation', c.relname::text, c.relowner, c.relacl
    FROM pg_class AS c
    WHERE c.relnamespace = n.oid
    UNION ALL
    SELECT text 'column', c.relname::text, c.relowner, t.attacl
    FROM pg_class AS c
    JOIN pg_attribute AS t ON t.attrelid = c.oid
    WHERE c.relnamespace = n.oid
    UNION ALL
    -- A function is open until that is revoked: without rights of its own it is, too.
    SELECT
      text 'function', p.proname::text, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p
    WHERE p.pronamespace = n.oid
  ) AS o
  WHERE n.nspname = current_schema();
END;

COMMENT ON FUNCTION _list_rights() IS
$$Internal: return the access rights of the schema and of each table, view, sequence, column and
function of the store, as PostgreSQL keeps them: an array an object. A column has the name of its
table.$$;
