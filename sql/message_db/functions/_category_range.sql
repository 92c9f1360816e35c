CREATE OR REPLACE FUNCTION message_store._category_range(
  category varchar,
  OUT category_key bigint,
  OUT safe_position bigint
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
BEGIN
  PERFORM _refuse_isolation();
  category_key := _category_key(category);
  safe_position := (horizon()).safe_position;
END
$$;

COMMENT ON FUNCTION message_store._category_range(varchar) IS
$$Internal: return by which key the index knows a category, and up to where it can be read without
passing a message in flight. Read in a later statement. Raises MS004 under REPEATABLE READ and
SERIALIZABLE, MS005 on a standby if no horizon was published.$$;
