CREATE OR REPLACE FUNCTION safe_position()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  -- A statement of its own, before the one that reads: its snapshot must be the later one.
  RETURN _last_visible((horizon()).safe_position);
END
$$;

COMMENT ON FUNCTION safe_position() IS
$$Return the global position of the last message that can be read without passing a message in
flight; 0 if there is none. A reader can store it and continue after it, also after a crash of the
server: its message is as durable as its commit. See horizon().$$;
