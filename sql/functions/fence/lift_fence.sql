CREATE OR REPLACE FUNCTION lift_fence(
  patience interval DEFAULT '10 seconds'
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
-- All writers wait while this waits for a row of the catalog, as for a GRANT that did not commit.
SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  table_name name;
BEGIN
  PERFORM _refuse_stranger('lift_fence');
  PERFORM _refuse_isolation();
  IF (patience > '0' AND patience <= '1 day') IS NOT TRUE THEN
    PERFORM _refuse_value('patience', 'must be more than 0, a day at most', to_jsonb(patience));
  END IF;
  PERFORM _lock_rights();
  -- A crash or a failover that took this commit back would have the store open at two places, or at
  -- none.
  IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  -- A dump without rows keeps the function, and no row.
  IF NOT EXISTS (SELECT FROM store_fence) AND EXISTS (
    SELECT
    FROM pg_proc AS p
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
      AND p.proname = '_is_open'
      AND p.prosqlbody IS NOT NULL
  ) THEN
    RETURN false;
  END IF;
  PERFORM _lock_tables('SHARE ROW EXCLUSIVE', clock_timestamp() + patience);
  FOR table_name IN SELECT t.name FROM _fenced_tables() AS t (name) LOOP
    BEGIN
      -- DROP TRIGGER takes this lock, which a dump can keep away for hours. So do not wait for it.
      EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE NOWAIT', table_name);
      EXECUTE format('DROP TRIGGER IF EXISTS store_is_closed ON %I', table_name);
    EXCEPTION
      WHEN lock_not_available THEN
        -- A trigger that does nothing stays, until the next fence is lifted.
        EXECUTE format(
          'CREATE OR REPLACE TRIGGER store_is_closed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE '
          'ON %I FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION _keep_closed()',
          table_name
        );
    END;
  END LOOP;
  -- As the migration has made it. Dynamic, because its body is a constant.
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION _is_open() RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE '
    'RETURN boolean %L',
    true
  );
  DELETE FROM store_fence;
  PERFORM pg_notify(wake_channel(), '');
  RETURN true;
END
$$;

COMMENT ON FUNCTION lift_fence(interval) IS
$$Open the store again that fence_store has closed; return whether it was closed. Do that only
if the store is not open at its other place: with both open, each would have messages that the
other one lacks. Waits for transactions that lock the tables, at most patience, not for those that
read them; raises 55P03 then, as fence_store(). For the store's owner only. Raises 22023 for a bad
argument; MS004 unless under READ COMMITTED.$$;
