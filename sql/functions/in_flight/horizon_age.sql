CREATE OR REPLACE FUNCTION horizon_age()
RETURNS interval
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  age interval := clock_timestamp() - (SELECT p.published_at FROM _published_horizon() AS p);
BEGIN
  -- Not greatest(), which ignores NULL.
  RETURN CASE WHEN age < interval '0' THEN interval '0' ELSE age END;
END
$$;

COMMENT ON FUNCTION horizon_age() IS
$$Return how long ago the published horizon moved or was confirmed; NULL if none was ever published.
A reader on a standby lacks no message that was safe to read on the primary that long ago. A
publisher confirms the horizon every 10 seconds while no messages come. So an age of more than that
says that no publisher runs, or that the standby is behind. It compares the clocks of the primary
and of this server.$$;
