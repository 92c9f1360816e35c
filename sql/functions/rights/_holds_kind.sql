CREATE OR REPLACE FUNCTION _holds_kind(
  role_id oid,
  kind text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- By rights, not by its name in grants: DROP ROLE is refused as long as a role has rights. Any of
  -- those that no other kind gives will do: an upgrade may have made some functions anew.
  RETURN EXISTS (
    SELECT
    FROM pg_proc AS p
    CROSS JOIN aclexplode(p.proacl) AS a
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname = ANY (_granted_names(_holds_kind.kind))
      AND NOT EXISTS (
        SELECT
        FROM unnest(ARRAY['read', 'write', 'consume', 'monitor']) AS k (kind)
        WHERE k.kind <> _holds_kind.kind AND p.proname = ANY (_granted_names(k.kind))
      )
      AND a.grantee = role_id
  );
END
$$;

COMMENT ON FUNCTION _holds_kind(oid, text) IS
$$Internal: whether a role has rights that only a kind of rights gives. One that was made anew under
the name of a role that was dropped has none.$$;
