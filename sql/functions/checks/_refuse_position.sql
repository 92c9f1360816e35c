CREATE OR REPLACE FUNCTION _refuse_position(
  global_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint := _drawn_position();
BEGIN
  IF pg_is_in_recovery() THEN
    -- Nothing is wrong with the position: a reader may have received it from the primary.
    last_position := (horizon()).safe_position;
    IF global_position > last_position THEN
      RAISE EXCEPTION USING
        ERRCODE = 'MS031',
        MESSAGE = format(
          'this standby can be read up to position %s, not yet up to %s', last_position,
          global_position
        ),
        DETAIL = json_build_object(
          'position', global_position, 'safe_position', last_position
        )::text,
        HINT = 'Try again soon, or read on the primary. If it stays like this, see whether the '
          'horizon is published and the standby follows: horizon_age().';
    END IF;
    RETURN;
  END IF;
  IF global_position > last_position THEN
    IF EXISTS (SELECT FROM messages AS m WHERE m.global_position > last_position) THEN
      PERFORM _refuse_sequences();
    END IF;
    RAISE EXCEPTION USING
      ERRCODE = 'MS006',
      MESSAGE = format(
        'position %s is beyond %s, the last one of this store', global_position, last_position
      ),
      DETAIL = json_build_object(
        'position', global_position, 'last_position', last_position
      )::text,
      HINT = 'The reader has seen another history: before a failover to an asynchronous standby, '
        'before a backup was restored, or of a store that was made anew. Compare what it has with '
        'the messages, and go on after a position of this store.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_position(bigint) IS
$$Internal: raise MS006 if a reader's position is beyond the last one that was ever given out;
MS007 if messages are too. On a standby raise MS031 if it is beyond the published horizon.$$;
