CREATE OR REPLACE FUNCTION forget_errors(
  positions bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  UPDATE parked_messages AS k
  SET error = NULL
  WHERE k.global_position = ANY (positions) AND k.error IS NOT NULL;
  UPDATE subscription_partitions AS p
  SET error = NULL
  WHERE p.failed_position = ANY (positions) AND p.error IS NOT NULL;
END
$$;

COMMENT ON FUNCTION forget_errors(bigint[]) IS
$$Internal: forget what handlers said when they failed on these messages: it may quote them. Waits
for a handler that has one of the messages in its hands.$$;
