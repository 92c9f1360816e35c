CREATE OR REPLACE FUNCTION _take_mark(
  after_position bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Bits 0 to 31 of the position are the key, bits 32 to 37 choose the class. From 2^38 on, a lock
  -- in a class of its own holds the bits above; it comes first: no mark is seen without it.
  IF after_position >= 274877906944 THEN
    PERFORM pg_advisory_xact_lock_shared(_mark_lock_class() + 64, (after_position >> 38)::integer);
  END IF;
  PERFORM pg_advisory_xact_lock_shared(
    _mark_lock_class() + (after_position >> 32 & 63)::integer, after_position::bit(32)::integer
  );
  -- As _enter_flight. A savepoint can have taken it back.
  PERFORM pg_advisory_xact_lock_shared(_gate_lock_class(), pg_backend_pid() % 4);
END
$$;

COMMENT ON FUNCTION _take_mark(bigint) IS
$$Internal: take the in-flight mark that says: this transaction may still write after this position;
and enter a gate. Taking what is held costs little. _open_marks() reads the mark.$$;
