CREATE OR REPLACE FUNCTION _refuse_errors(
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
  IF EXISTS (
    SELECT
    FROM subscription_partitions AS p
    WHERE p.failed_position = ANY (positions) AND p.error IS NOT NULL
  ) OR EXISTS (
    SELECT
    FROM parked_messages AS k
    WHERE k.global_position = ANY (positions) AND k.error IS NOT NULL
  ) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_in_use',
      MESSAGE = 'a handler is at work on a message that failed',
      DETAIL = positions::text;
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_errors(bigint[]) IS
$$Internal: raise 55006 if _forget_errors has left out an error on these messages. DETAIL is the
argument of _wait_for_handlers. The caller undoes what it did, so that it holds no lock, and then
waits.$$;
