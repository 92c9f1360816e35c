CREATE OR REPLACE FUNCTION last_position()
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
  -- A standby has the sequence as it will be after a crash: ahead by up to 32.
  IF pg_is_in_recovery() OR NOT _is_open() THEN
    RETURN _last_visible(9223372036854775807);
  END IF;
  RETURN _drawn_position();
END
$$;

COMMENT ON FUNCTION last_position() IS
$$The highest global position that was ever given out, to a message that may be in flight, gone, or
never committed; 0 while the store is empty. On a standby, that of the last message it has.$$;
