CREATE OR REPLACE FUNCTION _lock_tables(
  mode text,
  until timestamptz
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET lock_timeout = '100ms'
AS $$
#variable_conflict use_column
DECLARE
  table_name name;
  -- Milliseconds after which a session that waits looks for deadlocks.
  deadlock_timeout numeric := (
    SELECT s.setting::numeric FROM pg_settings AS s WHERE s.name = 'deadlock_timeout'
  );
  -- First a lock that is in the way of vacuum only. An autovacuum is in the way of the other one
  -- too, and PostgreSQL cancels it for a session that waits longer than that; but while one waits
  -- for the other lock, all writers wait behind it.
  step text := 'SHARE UPDATE EXCLUSIVE';
  step_time numeric := deadlock_timeout + 1000;
  pause numeric := 0.1;
  until_then timestamptz;
  statement_end timestamptz := clock_timestamp() + (
    SELECT nullif(s.setting, '0')::integer * interval '1 ms' FROM pg_settings AS s
    WHERE s.name = 'statement_timeout'
  );
BEGIN
  LOOP
    BEGIN
      until_then := clock_timestamp() + step_time * interval '1 ms';
      FOR table_name IN SELECT t.name FROM _fenced_tables() AS t (name) LOOP
        PERFORM set_config(
          'lock_timeout',
          greatest(1, ceil(1000 * extract(epoch FROM until_then - clock_timestamp())))::text,
          true
        );
        EXECUTE format('LOCK TABLE %I IN %s MODE', table_name, step);
      END LOOP;
      EXIT WHEN step = mode;
      step := mode;
      step_time := least(100, deadlock_timeout / 2);
    EXCEPTION
      -- A deadlock with a session that analyzes these tables in another order, for example.
      WHEN lock_not_available OR deadlock_detected THEN
        -- Of two time limits that end together the server tells one, and forgets the other.
        IF clock_timestamp() >= statement_end THEN
          RAISE query_canceled USING MESSAGE = 'canceling statement due to statement timeout';
        END IF;
        IF clock_timestamp() >= until THEN
          PERFORM _refuse_lock();
        END IF;
        IF step <> 'SHARE UPDATE EXCLUSIVE' THEN
          -- Longer, because transactions that always overlap would never end all within the first
          -- time. For all tables together: no session waits long enough to look for a deadlock with
          -- this one, which gives its locks back before, nor as long as apply_retention may wait.
          step_time := least(1.5 * step_time, 400, deadlock_timeout / 2);
          pause := step_time / 1000;
        END IF;
        PERFORM pg_sleep(pause * random());
    END;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _lock_tables(text, timestamptz) IS
$$Internal: lock the tables that a fence closes in this mode. It gives its locks back after a tenth
of a second, later after some tenths, and tries again; raises 55P03 if it has not got them all at a
time.$$;
