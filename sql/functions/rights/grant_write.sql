CREATE OR REPLACE FUNCTION grant_write(
  role text,
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
  others text[];
BEGIN
  PERFORM refuse_stranger('grant_write');
  IF cardinality(categories) = 0 OR array_position(categories, NULL) IS NOT NULL
    OR EXISTS (
      SELECT
      FROM unnest(grant_write.categories) AS c (category)
      WHERE category(c.category) <> c.category COLLATE "C"
    )
  THEN
    PERFORM refuse_argument(
      'categories', 'must be names of categories, or NULL for all',
      jsonb_build_object('categories', categories)
    );
  END IF;
  PERFORM lock_rights();
  -- From the first such role on, only what grant_write has granted counts: nobody who writes with
  -- rights of another origin is locked out unasked.
  IF categories IS NOT NULL THEN
    SELECT array_agg(DISTINCT r.rolname::text) INTO others
    FROM pg_proc AS p
    CROSS JOIN aclexplode(p.proacl) AS a
    JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname IN ('write_message', 'write_messages', 'write_batch', 'synchronize_stream')
      AND a.grantee <> p.proowner
      AND NOT EXISTS (
        SELECT
        FROM grants AS g
        WHERE g.role = r.rolname AND g.kind IN ('write', 'admin')
      );
    IF array_remove(others, grant_write.role) <> '{}' THEN
      RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = 'other roles may write by rights that grant_write does not know',
        DETAIL = json_build_object('roles', array_remove(others, grant_write.role))::text,
        HINT = 'Call grant_write for each of them first, or revoke their rights: once a role may '
          'write to some categories only, nobody else writes without grant_write.';
    END IF;
  END IF;
  PERFORM grant_kind(role, 'write', categories);
END
$$;

COMMENT ON FUNCTION grant_write(text, text[]) IS
$$Let a role write messages: to all streams, or only to those of some categories. Reading is a right
of its own. A role that inherits several such rights has the widest. As soon as one role may write
to some categories only, everybody but the owner needs this right to write. Upgrades grant the role
what they add. For the store's owner only. Written to the audit. Raises 22023 if there is no such
role or category; 55000 if the first restriction would lock out roles whose rights are of another
origin.$$;
