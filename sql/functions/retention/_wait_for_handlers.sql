CREATE OR REPLACE FUNCTION _wait_for_handlers(
  positions bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT DISTINCT e.subscription_id, e.partition, e.global_position
    FROM _kept_errors() AS e
    WHERE e.global_position = ANY (positions)
  LOOP
    -- An inner block that fails gives back the locks it has taken.
    BEGIN
      PERFORM FROM subscription_partitions AS p
      WHERE p.subscription_id = held.subscription_id AND p.partition = held.partition
      FOR UPDATE;
      PERFORM FROM parked_messages AS k
      WHERE k.subscription_id = held.subscription_id AND k.global_position = held.global_position
      FOR UPDATE;
      RAISE object_in_use;
    EXCEPTION
      WHEN object_in_use THEN
        NULL;
    END;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _wait_for_handlers(bigint[]) IS
$$Internal: wait until no other transaction has locked the rows with errors on these messages. Holds
none of them afterwards.$$;
