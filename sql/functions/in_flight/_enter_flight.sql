CREATE OR REPLACE FUNCTION _enter_flight()
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN
  -- _take_mark(_drawn_position()), written out because this is inlined.
  -- The mark comes before the first nextval, so that it bounds every position that this transaction
  -- can still get. Each part is read anew, the higher bits first: if the sequence moves between two
  -- of them, the bound is too low, never too high.
  -- In the first 1000 positions, and from 2^38 on, there is more to do: one comparison for both.
  (abs(_drawn_position() - 137438953972) >= 137438952972 AND _begin_mark())
  OR pg_advisory_xact_lock_shared(
    _mark_lock_class() + (_drawn_position() >> 32 & 63)::integer,
    _drawn_position()::bit(32)::integer
  ) IS NULL
  -- One of four gates, so that writers do not all wait for one lock's memory.
  OR pg_advisory_xact_lock_shared(_gate_lock_class(), pg_backend_pid() % 4) IS NULL
  -- The bell comes after the mark: a reader does it the other way round, so one sees the other. A
  -- bell key is taken and given back in one expression, which nothing can interrupt half-way.
  OR (
    pg_try_advisory_lock(_bell_lock_class(), pg_backend_pid() % 16)
    AND pg_advisory_unlock(_bell_lock_class(), pg_backend_pid() % 16)
  );

COMMENT ON FUNCTION _enter_flight() IS
$$Internal: take the in-flight mark of this transaction, enter a gate and test the bell; false if a
session waits for a notification. Inlined into its callers, hence without a search_path of its
own.$$;
