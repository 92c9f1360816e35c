CREATE OR REPLACE FUNCTION fence_store(
  new_conninfo text,
  patience interval DEFAULT '10 seconds'
)
RETURNS timestamptz
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
  fenced_at timestamptz;
BEGIN
  PERFORM _refuse_stranger('fence_store');
  PERFORM _refuse_isolation();
  IF (octet_length(new_conninfo) BETWEEN 1 AND 2000) IS NOT TRUE THEN
    PERFORM _refuse_value('new_conninfo', 'must have 1 to 2000 bytes', to_jsonb(new_conninfo));
  ELSIF new_conninfo ~* (
      '(^|[^[:alnum:]_])((ssl)?password|oauth_client_secret|scram_(client|server)_key)[[:space:]]*='
      '|://[^/@]*:[^/@]*@|^postgres(ql)?://.*[?&][^=&]*%[^=&]*='
    )
  THEN
    -- As the directory's table checks it; the last case is a name in %hh. Not in DETAIL. Each role
    -- that calls the store sees it, and the catalog shows it to all.
    PERFORM _refuse_argument('new_conninfo', 'must not have a password: callers have their own');
  ELSIF (patience > '0' AND patience <= '1 day') IS NOT TRUE THEN
    PERFORM _refuse_value('patience', 'must be more than 0, a day at most', to_jsonb(patience));
  END IF;
  PERFORM _lock_rights();
  -- A crash or a failover that took this commit back would have the store open at two places, or at
  -- none.
  IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  PERFORM _lock_tables('SHARE ROW EXCLUSIVE', clock_timestamp() + patience);

  -- Each transaction that has changed a table has ended: its lock conflicts with this one. A later
  -- change takes its lock after the commit. Then PostgreSQL looks for triggers anew, whatever the
  -- plan and the snapshot are. Readers need no lock: an earlier plan reads the rows that are there,
  -- and the next transaction is refused.
  FOR table_name IN SELECT t.name FROM _fenced_tables() AS t (name) LOOP
    -- Dynamic, because the place is an argument of the trigger.
    EXECUTE format(
      'CREATE OR REPLACE TRIGGER store_is_closed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE '
      'ON %I FOR EACH STATEMENT EXECUTE FUNCTION _keep_closed(%L)',
      table_name, new_conninfo
    );
  END LOOP;
  -- IMMUTABLE: it raises when a statement is planned, whatever rows there are.
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION _is_open() RETURNS boolean '
    'LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS %L',
    _closed_body(new_conninfo)
  );
  DELETE FROM store_fence;
  INSERT INTO store_fence AS f (fenced_at, new_conninfo, role)
  VALUES (clock_timestamp(), fence_store.new_conninfo, _acting_role())
  RETURNING f.fenced_at INTO fenced_at;
  -- Waiting readers look, and get MS030.
  PERFORM pg_notify(wake_channel(), '');
  RETURN fenced_at;
END
$$;

COMMENT ON FUNCTION fence_store(text, interval) IS
$$Close the store, because it moves to another place; return the time. From the commit on, each
write, claim, acknowledgement and read raises MS030, with new_conninfo in its DETAIL; so do exports,
imports, retention, grants, statistics and health(). A transaction that began before can still read
what was stored. Each message of a transaction that has committed before stays, and waiting readers
are notified. The versions, the rights, the audit, the sequences, the tables and the views but
writers_in_flight can be read; verify_store(), skip_positions() and repair_sequences() work. Waits
for transactions that have changed the store, at most patience; other writers wait for it some
tenths of a second at a time. Raises 55P03 then, and names them in DETAIL: open ones by pid,
prepared ones by gid. Calling it again sets another place. lift_fence() opens the store again. For
the store's owner only. Raises 22023 for a bad argument, and if new_conninfo has a password; MS004
unless under READ COMMITTED.$$;
