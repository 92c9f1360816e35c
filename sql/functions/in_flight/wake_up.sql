CREATE OR REPLACE FUNCTION wake_up(
  backend_pid integer DEFAULT NULL,
  OUT safe_position bigint,
  OUT in_flight boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_session(wake_up.backend_pid);
  PERFORM pg_advisory_unlock_shared(_bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
  SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
END
$$;

COMMENT ON FUNCTION wake_up(integer) IS
$$Take back one fall_asleep() of this session, and look how far the store can be read. Raises 55000
in another session than that of backend_pid, if it is given.$$;
