CREATE OR REPLACE FUNCTION _may_lock(
  role text,
  key text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  others text[] := _granted_names('read') || _granted_names('consume') || _granted_names('monitor');
  names name[] := CASE key WHEN 'installer' THEN ARRAY[name 'skip_positions'] ELSE ARRAY(
    SELECT n.name::name
    FROM unnest(_granted_names('admin')) AS n (name)
    WHERE n.name <> ALL (others)
  ) END;
BEGIN
  IF key = 'bell' THEN
    names := names || name 'fall_asleep';
  ELSIF key = 'gate' THEN
    names := names || name 'horizon';
  END IF;
  -- MEMBER, not USAGE: a session may have set a role that its own does not inherit from. Functions
  -- that PUBLIC may execute do not count.
  RETURN pg_has_role(role, current_user, 'MEMBER') OR EXISTS (
    SELECT
    FROM pg_proc AS p
    CROSS JOIN aclexplode(p.proacl) AS a
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname = ANY (names)
      AND CASE WHEN a.grantee <> 0 THEN pg_has_role(role, a.grantee, 'MEMBER') END
  );
END
$$;

COMMENT ON FUNCTION _may_lock(text, text) IS
$$Internal: whether a role has a right to a function that takes a key of this kind: installer,
stream, mark, bell or gate.$$;
