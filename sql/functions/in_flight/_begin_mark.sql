CREATE OR REPLACE FUNCTION _begin_mark()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint := _drawn_position();
BEGIN
  IF last_position >= 274877906944 THEN
    -- As _take_mark: the higher bits first.
    PERFORM pg_advisory_xact_lock_shared(_mark_lock_class() + 64, (last_position >> 38)::integer);
    RETURN false;
  END IF;
  -- Before a position is drawn: so each further try is refused too, until the sequence is repaired.
  -- Otherwise one would be stored in a gap before stored messages, which readers have passed.
  IF EXISTS (
    SELECT FROM list_sequences() AS l
    WHERE l.sequence = 'global_position_seq' AND l.last_value < l.highest
  ) THEN
    PERFORM _refuse_sequences();
  END IF;
  -- After a RESTART by hand the next position is 0 or lower. Readers begin after position 0.
  WHILE coalesce(pg_sequence_last_value('global_position_seq'), -1) < 0 LOOP
    PERFORM nextval('global_position_seq');
  END LOOP;
  RETURN false;
END
$$;

COMMENT ON FUNCTION _begin_mark() IS
$$Internal: take the part of a mark that holds the bits above 2^38; or, where at most 1000 positions
were drawn, raise MS007 if higher ones are stored, and see to it that the next one is 1 or more.
Return false. Separate from _enter_flight, so that all other writes do without.$$;
