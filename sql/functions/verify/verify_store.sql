CREATE OR REPLACE FUNCTION verify_store()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('verify_store');
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_messages() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_streams() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_indexes() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_subscriptions() AS v;
  RETURN QUERY SELECT v.check_name, v.checked, v.wrong, v.example FROM _verify_objects() AS v;
END
$$;

COMMENT ON FUNCTION verify_store() IS
$$Check the promises of the store against its tables: a row for each check, with how many things it
looked at, how many of them are wrong, and one example. Nothing is wrong if every count in wrong is
0. It reads all messages several times, from the tables, not from their indexes, and takes no locks
that others wait for. Whether the functions and migrations are those of a release, the command
pgstore verify compares.$$;
