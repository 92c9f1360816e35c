-- Nothing of a store is open to everybody: rights are granted to roles.
DO $$ BEGIN PERFORM _close_to_public(); END $$;

-- Nor is it open to whom the installer's default privileges give everything that he makes: they
-- would write to the tables, and call what is the owner's. Leave rights on earlier objects alone:
-- others have granted them.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT DISTINCT o.kind, o.name, a.grantee::regrole AS role
    FROM pg_namespace AS n
    CROSS JOIN LATERAL (
      SELECT 'SCHEMA' AS kind, n.nspname AS name, 'schema ' || n.oid AS key, n.nspacl AS acl
      UNION ALL
      SELECT
        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname, 'relation ' || c.oid,
        c.relacl
      FROM pg_class AS c WHERE c.relnamespace = n.oid
      UNION ALL
      SELECT 'FUNCTION', p.proname, 'function ' || p.oid, p.proacl
      FROM pg_proc AS p WHERE p.pronamespace = n.oid
    ) AS o
    CROSS JOIN aclexplode(o.acl) AS a
    WHERE n.nspname = current_schema()
      AND a.grantee NOT IN (0, n.nspowner)
      AND NOT current_setting('pgstore.objects')::jsonb ? o.key
  LOOP
    EXECUTE format('REVOKE ALL ON %s %I FROM %s', given.kind, given.name, given.role);
  END LOOP;
END
$$;

-- A role that was granted a function by hand may call the one of other parameters in its place.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT
      p.oid::regprocedure AS callee, r.role,
      CASE WHEN r.grants THEN ' WITH GRANT OPTION' ELSE '' END AS option
    FROM json_to_recordset(current_setting('pgstore.rights')::json)
      AS r (id oid, name text, role regrole, grants boolean)
    JOIN pg_proc AS p ON p.proname = r.name
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema()
      AND NOT current_setting('pgstore.objects')::jsonb ? ('function ' || p.oid)
      AND NOT EXISTS (SELECT FROM pg_proc AS f WHERE f.oid = r.id)
  LOOP
    EXECUTE format(
      'GRANT EXECUTE ON FUNCTION %s TO %s%s', given.callee, given.role, given.option
    );
  END LOOP;
END
$$;

-- The new functions of an upgrade, for the roles that were granted rights before.
DO $$ BEGIN PERFORM _restore_grants(); END $$;
