CREATE OR REPLACE FUNCTION _acting_role()
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN CASE current_setting('role')
  WHEN 'none' THEN session_user::text
  ELSE current_setting('role')
END;

COMMENT ON FUNCTION _acting_role() IS
$$Internal: the role that calls: the one set with SET ROLE, otherwise the session's. Inside a
function of the store, current_user is the store's owner. Nobody can set a role that he is not a
member of.$$;
