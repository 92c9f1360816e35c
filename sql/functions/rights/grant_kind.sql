CREATE OR REPLACE FUNCTION grant_kind(
  role text,
  kind text,
  categories text[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  role_id oid;
BEGIN
  PERFORM lock_rights();
  PERFORM close_to_public();
  SELECT r.oid INTO role_id FROM pg_roles AS r WHERE r.rolname = role COLLATE "C";
  IF NOT FOUND THEN
    PERFORM refuse_argument(
      'role', 'must be the name of a role', jsonb_build_object('role', role)
    );
  ELSIF role = current_user THEN
    -- To revoke it would take from the functions, which run as the owner, what they call.
    PERFORM refuse_argument(
      'role', 'must not be the owner of the store, who has every right',
      jsonb_build_object('role', role)
    );
  END IF;
  -- What a role that was dropped had: the one that has its name now starts with nothing.
  DELETE FROM grants AS g WHERE g.role = grant_kind.role AND NOT holds_kind(role_id, g.kind);
  INSERT INTO grants AS g (role, kind, categories)
  VALUES (grant_kind.role, grant_kind.kind, grant_kind.categories)
  ON CONFLICT ON CONSTRAINT grants_role_kind_pkey DO UPDATE SET categories = excluded.categories;
  PERFORM note_restrictions();
  PERFORM grant_objects(role, kind);
  PERFORM record_audit(
    'grant_' || kind, role, NULL, jsonb_strip_nulls(jsonb_build_object('categories', categories))
  );
END
$$;

COMMENT ON FUNCTION grant_kind(text, text, text[]) IS
$$Internal: grant a role a kind of rights, and remember that; take all rights from PUBLIC first.
Raises 22023 if there is no such role, and for the owner.$$;
