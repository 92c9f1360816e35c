-- breaking: no
-- Marks that hold all bits of a position, and pages that tell two positions.
SET LOCAL lock_timeout = '10s';

-- A mark's key holds 32 bits of a position; the other bits choose among 65 consecutive lock classes
-- (take_mark). The class of before is the first of them: marks that are open during the upgrade
-- stay valid. Another one only if the store's other classes lie among the 65, or 65 do not fit.
DO $$
DECLARE
  store_hash text := encode(sha256(convert_to('pgstore:' || current_schema(), 'UTF8')), 'hex');
  class bigint := mark_lock_class();
BEGIN
  FOR attempt IN 1..100 LOOP
    EXIT WHEN class <= 2147483647 - 64
      AND stream_lock_class() NOT BETWEEN class AND class + 64
      AND bell_lock_class() NOT BETWEEN class AND class + 64;
    class := (
      'x' || encode(
        substr(sha256(convert_to(store_hash || 'mark_lock_class' || attempt, 'UTF8')), 1, 4), 'hex'
      )
    )::bit(32)::integer;
  END LOOP;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION mark_lock_class() RETURNS integer LANGUAGE sql IMMUTABLE '
      'PARALLEL SAFE RETURN %L::integer',
    class
  );
END
$$;
COMMENT ON FUNCTION mark_lock_class() IS
$$Internal: first of the 65 consecutive keys that begin the in-flight marks.$$;

-- It answers one column more now.
DROP FUNCTION IF EXISTS read_page(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
);
