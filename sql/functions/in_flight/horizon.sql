CREATE OR REPLACE FUNCTION horizon(
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
DECLARE
  last_position bigint;
  lowest bigint;
BEGIN
  -- In one condition: true is folded away, and costs nothing.
  IF pg_is_in_recovery() OR NOT _is_open() THEN
    -- The marks are on the primary. A statement that begins later shows all messages up to there,
    -- and so does one under REPEATABLE READ: it sees the row and the messages in one snapshot.
    safe_position := (SELECT p.safe_position FROM _published_horizon() AS p);
    IF safe_position IS NULL THEN
      RAISE EXCEPTION USING
        ERRCODE = 'MS005',
        MESSAGE =
          'this standby does not know which messages are in flight: no horizon was published',
        HINT = 'Read across streams on the primary, or have it publish its horizon: run pgstore '
          'publish, or store.run with publish=True. Single streams can be read on a standby.';
    END IF;
    RETURN;
  END IF;

  -- In this order: a writer that gets its position after the first step gets one above
  -- last_position, and a writer in flight at the second step is seen by its gate and its mark.
  last_position := _drawn_position();
  IF last_position = 0 THEN
    -- Not in one condition: that would look at the table each time.
    IF EXISTS (SELECT FROM messages AS m WHERE m.global_position > 0) THEN
      -- Tables were copied without their sequences: readers would take the store for an empty one.
      PERFORM _refuse_sequences();
    END IF;
  END IF;

  -- pg_locks walks over every session that the server may have. The gates tell of other sessions
  -- only, and a transaction that has written to the store has an id.
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    NULL;
  ELSIF pg_sequence_last_value('gate_trust_seq') IS NULL THEN
    PERFORM _trust_gates();
  ELSIF _gates_free() THEN
    safe_position := last_position;
    in_flight := false;
    RETURN;
  END IF;
  SELECT min(m.after_position) INTO lowest FROM _open_marks() AS m;

  safe_position := least(last_position, lowest);
  in_flight := lowest IS NOT NULL;
END
$$;

COMMENT ON FUNCTION horizon() IS
$$Tell how far the store can be read in its global order without passing a message in flight: every
position up to safe_position is visible to statements that begin after this one, or will never
exist. in_flight tells whether any transaction that writes is open. Read it as a statement of its
own under READ COMMITTED. Do not store safe_position outside the database: if the last writers
rolled back, a crash of the server may give their positions again; safe_position() can be stored.
On a standby it returns the published horizon, under every isolation level, and NULL for in_flight.
Raises MS005 on a standby if none was ever published, MS007 if messages are stored and the sequence
never gave a position.$$;
