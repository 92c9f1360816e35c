CREATE OR REPLACE FUNCTION grant_access(
  role text,
  kind text,
  categories text[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  role_id oid;
BEGIN
  PERFORM _refuse_stranger('grant_access');
  PERFORM _refuse_kind(kind, categories);
  PERFORM _lock_rights();
  IF categories IS NOT NULL THEN
    PERFORM _refuse_restriction(role);
  END IF;
  PERFORM _close_to_public();
  SELECT r.oid INTO role_id FROM pg_roles AS r WHERE r.rolname = role COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _refuse_value('role', 'must be the name of a role', to_jsonb(role));
  ELSIF role = current_user THEN
    -- To revoke it would take from the functions, which run as the owner, what they call.
    PERFORM _refuse_value(
      'role', 'must not be the owner of the store, who has every right', to_jsonb(role)
    );
  END IF;
  -- Forget the grants of a dropped role: a new role of that name starts with nothing.
  DELETE FROM grants AS g WHERE g.role = grant_access.role AND NOT _holds_kind(role_id, g.kind);
  INSERT INTO grants AS g (role, kind, categories)
  VALUES (grant_access.role, grant_access.kind, grant_access.categories)
  ON CONFLICT ON CONSTRAINT grants_role_kind_pkey DO UPDATE SET categories = excluded.categories;
  PERFORM _note_restrictions();
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
  PERFORM _alter_rights(role, _granted_names(kind), true);
  PERFORM _record_audit(
    'grant_access', role, NULL,
    jsonb_strip_nulls(jsonb_build_object('kind', kind, 'categories', categories))
  );
END
$$;

COMMENT ON FUNCTION grant_access(text, text, text[]) IS
$$Grant a role a kind of rights. read: read streams, categories and everything, and wait for new
messages. write: append to all streams, or only to those of some categories. consume: create and
steer subscriptions, claim their partitions and read what they hand out; a handler that writes needs
write too. monitor: see statistics, health, subscriptions and writers in flight, but no message; to
see what other roles' sessions do it needs pg_read_all_stats too. admin: all of these, delete and
redact messages, empty the store, export, import and verify; not grant rights, nor upgrade. A role
that inherits several rights to write has the widest. From the first role on that may write to some
categories only, each role but the owner needs write or admin to write. Upgrades grant the role what
they add to its kinds. Takes all rights on the store from PUBLIC first. For the store's owner only.
Written to the audit. Raises 22023 if there is no such role, kind or category, and for the owner;
55000 if the first restriction would lock out roles whose rights are of another origin.$$;
