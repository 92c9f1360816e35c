-- breaking: no
-- Marks that hold all bits of a position, pages that tell two positions, and what a claim needs to
-- know of the lease before.
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

-- They take the id of the session now.
DROP FUNCTION IF EXISTS fall_asleep();
DROP FUNCTION IF EXISTS wake_up();

-- On which run of the server the last lease began, how many messages its worker can have had, and
-- how many leases have passed without progress.
ALTER TABLE subscription_partitions
  ADD COLUMN leases bigint NOT NULL DEFAULT 0,
  ADD COLUMN alone bigint NOT NULL DEFAULT 0,
  ADD COLUMN batch_size bigint NOT NULL DEFAULT 0,
  ADD COLUMN server_started_at timestamptz;
COMMENT ON COLUMN subscription_partitions.leases IS
$$Leases that have begun since the checkpoint last moved, or a replay was settled.$$;
COMMENT ON COLUMN subscription_partitions.alone IS
$$So many more messages are handed out one at a time: a worker ended with one of them in hand.$$;
COMMENT ON COLUMN subscription_partitions.batch_size IS
$$The most messages that were fetched at once, at most 1000.$$;
COMMENT ON COLUMN subscription_partitions.server_started_at IS
$$Start of the server on which the last lease began, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.attempts IS
$$Failed attempts at the message at failed_position, lost leases with it in hand among them.$$;
