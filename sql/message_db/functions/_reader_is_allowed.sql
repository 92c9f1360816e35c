CREATE OR REPLACE FUNCTION message_store._reader_is_allowed()
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- A view shows its owner's tables. The store's grants stay the only place that says which role
  -- may read them. With the store's name: without, a temporary table would be asked about.
  IF NOT has_table_privilege(format('%I.all_messages', message_store._store()), 'SELECT') THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('role %I may not read store %I', current_user, message_store._store()),
      HINT = 'grant_access of the store gives a role the right.';
  END IF;
  RETURN true;
END
$$;

COMMENT ON FUNCTION message_store._reader_is_allowed() IS
$$Internal: return true if the role may read the store, by a right that the store has granted;
otherwise raise 42501.$$;
