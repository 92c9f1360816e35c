CREATE OR REPLACE FUNCTION publish_horizon(
  publisher text DEFAULT NULL,
  OUT safe_position bigint,
  OUT moved boolean,
  OUT taken boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  began timestamptz := clock_timestamp();
  known record;
BEGIN
  IF octet_length(publish_horizon.publisher) > 255 THEN
    PERFORM _refuse_value(
      'publisher', 'must be at most 255 bytes', to_jsonb(publish_horizon.publisher)
    );
  END IF;
  PERFORM _refuse_isolation();
  -- On a standby there would be nothing to do, until there is.
  IF current_setting('transaction_read_only')::boolean THEN
    RAISE EXCEPTION USING
      ERRCODE = 'read_only_sql_transaction',
      MESSAGE = 'the horizon cannot be published in a read-only transaction',
      DETAIL = json_build_object('standby', pg_is_in_recovery())::text;
  END IF;

  moved := false;
  -- One session at a time, until it commits, and nobody waits. The gates have keys 0 to 3.
  taken := NOT pg_try_advisory_xact_lock(_gate_lock_class(), 5);
  IF NOT taken THEN
    -- A statement of its own, before the row is written. A writer inserts its commit into the WAL
    -- before its mark ends, and the commit of the row follows: a server that has the row has the
    -- messages, and the draw of each position up to it.
    safe_position := (horizon()).safe_position;
  END IF;
  SELECT p.safe_position, p.published_at, p.publisher INTO known FROM _published_horizon() AS p;
  -- Not in the future: a clock that was set back would stop all publishers.
  taken := taken OR coalesce(
    known.publisher <> publish_horizon.publisher
      AND known.published_at BETWEEN began - interval '1 second' AND began,
    false
  );
  IF NOT taken THEN
    moved := coalesce(safe_position > known.safe_position, true);
    IF known.safe_position IS NULL THEN
      INSERT INTO store_horizon (safe_position, published_at, publisher)
      VALUES (publish_horizon.safe_position, began, publish_horizon.publisher);
    ELSIF moved OR (known.published_at BETWEEN began - interval '10 seconds' AND began) IS NOT TRUE
    THEN
      -- It never goes back: the safe position itself can, for an instant.
      UPDATE store_horizon AS h
      SET safe_position = greatest(h.safe_position, publish_horizon.safe_position),
        published_at = began, publisher = publish_horizon.publisher
      WHERE h.safe_position = known.safe_position;
    END IF;
  END IF;
  safe_position := CASE WHEN moved THEN safe_position ELSE known.safe_position END;
END
$$;

COMMENT ON FUNCTION publish_horizon(text) IS
$$Publish the safe position for readers on standbys, if it has moved since, and confirm it after 10
seconds if it has not. Returns the position that is published, and moved: whether this call has
moved it. One program publishes at a time: taken is true if another session does so at this moment,
or if a program of another name did within the last second. Then call it again after a second;
otherwise after some hundredths of one if it has moved, or when a message comes. publisher is the
name of the calling program, at most 255 bytes; without it the call does not leave it to another
one. Call it in a transaction of its own, which ends at once: readers see what was safe at the call.
It need not be flushed: SET LOCAL synchronous_commit = off, or local. Raises 22023 for a bad
argument, 25006 in a read-only transaction, as on a standby, MS004 unless under READ COMMITTED,
MS007 as horizon().$$;
