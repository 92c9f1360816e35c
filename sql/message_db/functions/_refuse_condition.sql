CREATE OR REPLACE FUNCTION message_store._refuse_condition(
  condition varchar
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Empty after RESET, and after the transaction of a SET LOCAL.
  IF condition IS NOT NULL
    AND lower(current_setting('message_store.sql_condition', true)) IN ('on', 'true', 'yes', '1')
      IS NOT TRUE
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'raise_exception',
      MESSAGE = 'Retrieval with SQL condition is not activated';
  END IF;
END
$$;

COMMENT ON FUNCTION message_store._refuse_condition(varchar) IS
$$Internal: raise P0001 for a condition if the setting message_store.sql_condition is not on.$$;
