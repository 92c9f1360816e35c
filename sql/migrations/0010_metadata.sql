-- breaking: no
-- Reads and subscriptions that choose messages by their metadata, and an index of correlation ids.
--
-- Not breaking: a function that takes one parameter more takes the calls of before too, and one
-- that returns one column more returns those of before. So earlier bodies and packages still work.

-- A handler locks messages and then subscriptions, or the other way round. To wait long for one of
-- them while another is held would deadlock with a handler, so this gives its locks back.
--
-- It builds the index only if writers need not wait for long: if the table is small, and its lock
-- can be had. Otherwise the owner builds it beside the writers (docs/operations/upgrades.md), and
-- read_correlated refuses to read until then.
DO $$
DECLARE
  indexes boolean := pg_relation_size('messages') <= 67108864;
  -- An earlier migration in this transaction has locked streams. A writer that has a lock on
  -- messages can wait for it, and would deadlock with a transaction that waits for messages.
  held boolean := EXISTS (
    SELECT
    FROM pg_locks AS l
    WHERE l.pid = pg_backend_pid()
      AND l.relation = 'streams'::regclass
      AND l.mode = 'AccessExclusiveLock'
  );
BEGIN
  FOR attempt IN 1..20 LOOP
    indexes := indexes AND attempt <= 10;
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      IF indexes AND held THEN
        LOCK TABLE messages IN SHARE MODE NOWAIT;
      ELSIF indexes THEN
        LOCK TABLE messages IN SHARE MODE;
      END IF;
      LOCK TABLE subscriptions IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION
      WHEN lock_not_available THEN
        IF attempt = 20 THEN
          RAISE;
        END IF;
        PERFORM pg_sleep(0.1 * random());
    END;
  END LOOP;
  IF indexes THEN
    CREATE INDEX messages_correlation_id_global_position_idx
      ON messages (((metadata ->> 'correlation_id') COLLATE "C"), global_position)
      WHERE octet_length(metadata ->> 'correlation_id') <= 255;
  END IF;
END
$$;
SET LOCAL lock_timeout = '3s';

ALTER TABLE subscriptions
  ADD COLUMN metadata jsonb,
  ADD CONSTRAINT subscriptions_metadata_check CHECK (jsonb_typeof(metadata) = 'object');
COMMENT ON COLUMN subscriptions.metadata IS
$$Object that the metadata of a message to read must contain, or NULL for all.$$;

-- These functions take or return the metadata now. One statement drops the last three, because one
-- of them calls another.
DROP FUNCTION IF EXISTS create_subscription(
  text, text[], text[], text, bigint, text, bigint, timestamptz, text, bigint, interval
);
DROP FUNCTION IF EXISTS list_subscriptions();
DROP FUNCTION IF EXISTS
  _range_of_several(text[], bigint, bigint, bigint, text[], text, bigint, bigint, text),
  _range_of_category(text, bigint, bigint, bigint, text[], text, bigint, bigint, text),
  _range_of_all(bigint, bigint, bigint, text[], text, bigint, bigint, text);
