CREATE OR REPLACE FUNCTION _refuse_stranger(
  name text
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  caller text := _acting_role();
  strays boolean;
  entitled boolean;
BEGIN
  -- The server has let the caller in by an entry of the function's rights. One of PUBLIC, or of
  -- another role where the function is the owner's, may come from a restore or from default
  -- privileges: while there is one, the caller has to have another entry.
  SELECT
    bool_or(NOT e.counts),
    bool_or(CASE WHEN e.counts THEN pg_has_role(caller, e.grantee, 'USAGE') END)
  INTO strays, entitled
  FROM (
    SELECT
      a.grantee,
      a.grantee = p.proowner
        OR (a.grantee <> 0 AND p.proname = ANY (_granted_names('admin'))) AS counts
    FROM pg_proc AS p
    CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname = _refuse_stranger.name
  ) AS e;
  IF strays AND entitled IS NOT TRUE THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('permission denied for function %s', name),
      DETAIL = json_build_object('role', caller, 'function', name)::text,
      HINT = 'The store is open to roles that were granted nothing, as after a restore without '
        'rights: install it again, then grant rights again.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_stranger(text) IS
$$Internal: raise 42501 if the caller may execute a function only because PUBLIC may, or because a
role may that is not the owner's where the function is. Functions for the owner and administrators
call it first, and those that change subscriptions for good.$$;
