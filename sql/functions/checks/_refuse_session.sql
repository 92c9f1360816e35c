CREATE OR REPLACE FUNCTION _refuse_session(
  backend_pid integer
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF _refuse_session.backend_pid <> pg_backend_pid() THEN
    RAISE EXCEPTION USING
      ERRCODE = '55000',
      MESSAGE = 'this is not the session that the caller began in',
      DETAIL = json_build_object(
        'backend_pid', _refuse_session.backend_pid, 'actual_backend_pid', pg_backend_pid()
      ),
      HINT = 'A pooler gives a session to each transaction or statement: poll instead of sleeping.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_session(integer) IS
$$Internal: raise 55000 unless the server process is this one; NULL passes.$$;
