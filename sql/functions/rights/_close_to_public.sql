CREATE OR REPLACE FUNCTION _close_to_public()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  kinds text[] := ARRAY[
    'SCHEMA', 'ALL TABLES IN SCHEMA', 'ALL SEQUENCES IN SCHEMA', 'ALL ROUTINES IN SCHEMA'
  ];
  objects text;
  given record;
BEGIN
  -- Only if something is open: a REVOKE has all sessions plan their statements anew.
  IF NOT EXISTS (
    SELECT FROM _list_rights() AS o CROSS JOIN aclexplode(o.rights) AS a
    WHERE a.grantee = 0
  ) THEN
    RETURN;
  END IF;
  -- Dynamic, because these commands name the schema.
  FOREACH objects IN ARRAY kinds LOOP
    EXECUTE format('REVOKE ALL ON %s %I FROM PUBLIC', objects, current_schema());
  END LOOP;

  -- The owner can take rights that a role gave to PUBLIC only together with that role's grant
  -- option.
  FOR given IN
    SELECT DISTINCT pg_get_userbyid(a.grantee) AS role
    FROM _list_rights() AS o
    CROSS JOIN aclexplode(o.rights) AS a
    WHERE a.is_grantable
      AND a.grantor <> a.grantee
      AND a.grantor = (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = current_schema())
      AND EXISTS (SELECT FROM aclexplode(o.rights) AS w WHERE w.grantee = 0)
  LOOP
    FOREACH objects IN ARRAY kinds LOOP
      EXECUTE format(
        'REVOKE GRANT OPTION FOR ALL ON %s %I FROM %I CASCADE', objects, current_schema(),
        given.role
      );
    END LOOP;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _close_to_public() IS
$$Internal: take every right on the store from PUBLIC, and the option to grant from a role that gave
PUBLIC one: before rights are granted to a role or taken from it, and at the end of an installation.
A store that was restored without its rights is open to each role that may use the schema.$$;
