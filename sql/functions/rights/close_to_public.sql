CREATE OR REPLACE FUNCTION close_to_public()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Only if something is open: a REVOKE has all sessions plan their statements anew.
  IF NOT EXISTS (
    SELECT
    FROM pg_namespace AS n
    CROSS JOIN LATERAL (
      SELECT n.nspacl AS acl
      UNION ALL
      SELECT c.relacl FROM pg_class AS c WHERE c.relnamespace = n.oid
      UNION ALL
      SELECT t.attacl
      FROM pg_class AS c
      JOIN pg_attribute AS t ON t.attrelid = c.oid
      WHERE c.relnamespace = n.oid
      UNION ALL
      -- A function is open until that is revoked: without rights of its own it is, too.
      SELECT coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc AS p
      WHERE p.pronamespace = n.oid
    ) AS o
    CROSS JOIN aclexplode(o.acl) AS a
    WHERE n.nspname = current_schema() AND a.grantee = 0
  ) THEN
    RETURN;
  END IF;
  -- Dynamic, because these commands name the schema.
  EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA %I FROM PUBLIC', current_schema());
END
$$;

COMMENT ON FUNCTION close_to_public() IS
$$Internal: take every right on the store from PUBLIC: before rights are granted to a role or taken
from it, and at the end of an installation. A store that was restored without its rights is open to
each role that may use the schema.$$;
