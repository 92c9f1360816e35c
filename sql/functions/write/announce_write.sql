CREATE OR REPLACE FUNCTION announce_write()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint;
  mark bigint := nullif(current_setting(mark_setting(), true), '')::bigint;
BEGIN
  IF mark IS NULL THEN
    -- Not known to be in flight: also when the message before was written by the caller's fast path
    -- (one mark more does no harm), and after a savepoint that held the mark was rolled back.
    PERFORM set_config(
      mark_setting(), pg_sequence_last_value('global_position_seq')::text, true
    );
    IF NOT enter_flight() THEN
      PERFORM notify_sleepers();
    END IF;
  ELSE
    -- Anybody may set the setting, so it only says which mark to take: taking one that is held
    -- costs little, and none is ever above the last position.
    last_position := pg_sequence_last_value('global_position_seq');
    PERFORM pg_advisory_xact_lock_shared(
      mark_lock_class(), least(mark, last_position)::bit(32)::integer
    );
  END IF;
END
$$;

COMMENT ON FUNCTION announce_write() IS
$$Internal: make sure that a transaction that has written before, here or elsewhere, holds its
in-flight mark and has tested the bell. At most two marks a transaction and store.$$;
