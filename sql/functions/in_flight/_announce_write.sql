CREATE OR REPLACE FUNCTION _announce_write()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint := _drawn_position();
  -- Anybody may set it, to anything.
  mark bigint := substring(current_setting(_mark_setting(), true) FROM '^[0-9]{1,18}$')::bigint;
BEGIN
  -- At position 0 _enter_flight has more to do.
  IF (last_position > 0 AND mark BETWEEN 0 AND last_position) IS NOT TRUE THEN
    -- Not known to be in flight: also when the message before was written by the caller's fast path
    -- (one mark more does no harm), and after a savepoint that held the mark was rolled back. And
    -- when the setting cannot be true: a bound above the last position is too high.
    PERFORM set_config(_mark_setting(), last_position::text, true);
    IF NOT _enter_flight() THEN
      PERFORM _notify_sleepers();
    END IF;
  ELSE
    -- The setting only says which mark to take: taking one that is held costs little.
    PERFORM _take_mark(mark);
  END IF;
END
$$;

COMMENT ON FUNCTION _announce_write() IS
$$Internal: make sure that a transaction that has written before, here or elsewhere, holds its
in-flight mark and has tested the bell. At most two marks a transaction and store.$$;
