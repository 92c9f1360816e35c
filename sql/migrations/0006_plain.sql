-- breaking: yes
-- One pair of functions grants and revokes rights.
SET LOCAL lock_timeout = '10s';

DROP FUNCTION IF EXISTS grant_read(text);
DROP FUNCTION IF EXISTS grant_write(text, text[]);
DROP FUNCTION IF EXISTS grant_consume(text);
DROP FUNCTION IF EXISTS grant_monitor(text);
DROP FUNCTION IF EXISTS grant_admin(text);
DROP FUNCTION IF EXISTS revoke_read(text);
DROP FUNCTION IF EXISTS revoke_write(text);
DROP FUNCTION IF EXISTS revoke_consume(text);
DROP FUNCTION IF EXISTS revoke_monitor(text);
DROP FUNCTION IF EXISTS revoke_admin(text);
DROP FUNCTION IF EXISTS grant_kind(text, text, text[]);
DROP FUNCTION IF EXISTS revoke_kind(text, text);

DROP FUNCTION IF EXISTS begin_lease;

-- A word each: the head of a partition, how far work was looked for, the last of some positions.
ALTER TABLE subscription_partitions RENAME COLUMN head TO swept_position;
COMMENT ON COLUMN subscription_partitions.swept_position IS
$$Global position up to which messages may wait, if it is the only partition; else NULL, and
subscription_sweeps and subscription_heads have it.$$;
ALTER TABLE subscription_work RENAME COLUMN head TO last_position;
ALTER TABLE subscription_work
  RENAME CONSTRAINT subscription_work_subscription_id_partition_head_pkey
  TO subscription_work_subscription_id_partition_last_position_pkey;
