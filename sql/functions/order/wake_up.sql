CREATE OR REPLACE FUNCTION wake_up()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_unlock_shared(bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
END
$$;

COMMENT ON FUNCTION wake_up() IS
$$Take back one fall_asleep() of this session.$$;
