CREATE OR REPLACE FUNCTION begin_handling(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  -- Local to the transaction: COMMIT and ROLLBACK take it away.
  PERFORM set_config(
    'pgstore.handling',
    json_build_array(current_schema(), subscription, partition, token)::text,
    true
  );
END
$$;

COMMENT ON FUNCTION begin_handling(text, bigint, bigint) IS
$$Mark the transaction of a handler with its lease, as its first statement, for check_handling. A
guard against mistakes: any statement of the transaction can set the mark again.$$;
