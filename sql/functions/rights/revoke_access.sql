CREATE OR REPLACE FUNCTION revoke_access(
  role text,
  kind text
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('revoke_access');
  PERFORM _refuse_kind(kind, NULL);
  PERFORM _lock_rights();
  PERFORM _close_to_public();
  DELETE FROM grants AS g WHERE g.role = revoke_access.role AND g.kind = revoke_access.kind;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM _note_restrictions();

  -- The role may have become the owner since, who keeps what the functions call as the owner.
  IF role <> current_user
    AND EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role COLLATE "C")
  THEN
    -- Functions that another kind of the role's rights gives stay.
    PERFORM _alter_rights(
      role,
      ARRAY(
        SELECT n.name
        FROM unnest(_granted_names(revoke_access.kind)) AS n (name)
        WHERE NOT EXISTS (
          SELECT
          FROM grants AS g
          WHERE g.role = revoke_access.role AND n.name = ANY (_granted_names(g.kind))
        )
      ),
      false
    );
    IF NOT EXISTS (SELECT FROM grants AS g WHERE g.role = revoke_access.role) THEN
      EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %I', current_schema(), role);
    END IF;
  END IF;
  PERFORM _record_audit('revoke_access', role, NULL, jsonb_build_object('kind', kind));
  RETURN true;
END
$$;

COMMENT ON FUNCTION revoke_access(text, text) IS
$$Take a kind of rights from a role, except functions that its other kinds give; return false if it
was not granted. Takes all rights on the store from PUBLIC first. For the store's owner only.
Written to the audit. Raises 22023 for another kind than those of grant_access.$$;
