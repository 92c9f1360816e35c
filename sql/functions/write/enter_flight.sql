CREATE OR REPLACE FUNCTION enter_flight()
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN
  -- take_mark(pg_sequence_last_value('global_position_seq')), written out because this is inlined.
  -- The mark comes before the first nextval, so that it bounds every position that this transaction
  -- can still get. Each part is read anew, the higher bits first: if the sequence moves between two
  -- of them, the bound is too low, never too high.
  (
    pg_sequence_last_value('global_position_seq') >= 274877906944
    AND pg_advisory_xact_lock_shared(
      mark_lock_class() + 64, (pg_sequence_last_value('global_position_seq') >> 38)::integer
    ) IS NULL
  )
  OR pg_advisory_xact_lock_shared(
    mark_lock_class() + (pg_sequence_last_value('global_position_seq') >> 32 & 63)::integer,
    pg_sequence_last_value('global_position_seq')::bit(32)::integer
  ) IS NULL
  -- The bell comes after the mark: a reader does it the other way round, so one sees the other. A
  -- bell key is taken and given back in one expression, which nothing can interrupt half-way.
  OR (
    pg_try_advisory_lock(bell_lock_class(), pg_backend_pid() % 16)
    AND pg_advisory_unlock(bell_lock_class(), pg_backend_pid() % 16)
  );

COMMENT ON FUNCTION enter_flight() IS
$$Internal: take the in-flight mark of this transaction and test the bell; false if somebody sleeps
and wants to be notified. Inlined into its callers, hence without a search_path of its own.$$;
