CREATE OR REPLACE FUNCTION revoke_kind(
  role text,
  kind text
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  object record;
BEGIN
  PERFORM lock_rights();
  PERFORM close_to_public();
  DELETE FROM grants AS g WHERE g.role = revoke_kind.role AND g.kind = revoke_kind.kind;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM note_restrictions();

  -- The owner may have become it since; he keeps what the functions call as him.
  IF role <> current_user
    AND EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role COLLATE "C")
  THEN
    -- Dynamic, because REVOKE takes no parameters. What another kind of rights that the role has
    -- gives it too stays.
    FOR object IN
      SELECT o.kind, o.name
      FROM granted_objects(granted_names(revoke_kind.kind)) AS o
      WHERE NOT EXISTS (
        SELECT
        FROM grants AS g
        WHERE g.role = revoke_kind.role AND o.name = ANY (granted_names(g.kind))
      )
    LOOP
      IF object.kind = 'function' THEN
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %I FROM %I', object.name, role);
      ELSE
        EXECUTE format('REVOKE SELECT ON %I FROM %I', object.name, role);
      END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM grants AS g WHERE g.role = revoke_kind.role) THEN
      EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %I', current_schema(), role);
    END IF;
  END IF;
  PERFORM record_audit('revoke_' || kind, role, NULL, '{}');
  RETURN true;
END
$$;

COMMENT ON FUNCTION revoke_kind(text, text) IS
$$Internal: take a kind of rights from a role, but for what its other kinds give it; false if it was
not granted.$$;
