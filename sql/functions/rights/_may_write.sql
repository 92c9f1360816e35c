CREATE OR REPLACE FUNCTION _may_write(
  caller text,
  category text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- The owner, who owns the functions that this is called from, and superusers.
  RETURN pg_has_role(caller, current_user, 'USAGE') OR EXISTS (
    SELECT
    FROM grants AS g
    JOIN pg_roles AS r ON r.rolname = g.role
    WHERE g.kind IN ('write', 'admin')
      AND (g.categories IS NULL OR _may_write.category = ANY (g.categories))
      AND pg_has_role(caller, r.oid, 'USAGE')
      -- Not a role that was made anew under the name of one that was dropped.
      AND EXISTS (
        SELECT
        FROM pg_proc AS p
        CROSS JOIN aclexplode(p.proacl) AS a
        WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
          AND p.proname = CASE g.kind WHEN 'write' THEN 'write_arrays' ELSE 'redact_message' END
          AND a.grantee = r.oid
      )
  );
END
$$;

COMMENT ON FUNCTION _may_write(text, text) IS
$$Internal: whether a role may write to a category in a store in which any role may write to some
categories only. Then each role but the owner needs a grant of write or admin; of those that a role
inherits, the widest counts.$$;
