-- breaking: no
-- Subscriptions: their partitions, what is known to wait in them, and what was parked.
SET LOCAL lock_timeout = '10s';

CREATE SEQUENCE subscription_id_seq AS bigint;
COMMENT ON SEQUENCE subscription_id_seq IS $$Internal ids of subscriptions.$$;

CREATE TABLE subscriptions (
  subscription_id bigint NOT NULL,
  partitions bigint NOT NULL,
  next_partitions bigint,
  max_attempts bigint NOT NULL,
  created_at timestamptz NOT NULL,
  retry_delay interval NOT NULL,
  paused boolean NOT NULL,
  subscription text COLLATE "C" NOT NULL,
  partition_by text COLLATE "C" NOT NULL,
  on_failure text COLLATE "C" NOT NULL,
  stream_pattern text COLLATE "C",
  categories text[] COLLATE "C",
  types text[] COLLATE "C",
  CONSTRAINT subscriptions_subscription_id_pkey PRIMARY KEY (subscription_id),
  CONSTRAINT subscriptions_subscription_key UNIQUE (subscription)
);
COMMENT ON TABLE subscriptions IS $$Named durable readers and what they read.$$;
COMMENT ON COLUMN subscriptions.subscription_id IS $$Internal id.$$;
COMMENT ON COLUMN subscriptions.partitions IS $$Number of partitions.$$;
COMMENT ON COLUMN subscriptions.next_partitions IS
$$Number of partitions it will have when those it has have caught up with each other, or NULL.$$;
COMMENT ON COLUMN subscriptions.max_attempts IS $$How often a message is handed out at most.$$;
COMMENT ON COLUMN subscriptions.created_at IS $$When it was created.$$;
COMMENT ON COLUMN subscriptions.retry_delay IS
$$Pause before the second attempt; it doubles with every further one, up to an hour.$$;
COMMENT ON COLUMN subscriptions.paused IS $$Whether its partitions are not handed out.$$;
COMMENT ON COLUMN subscriptions.subscription IS $$Its name: 1 to 255 bytes.$$;
COMMENT ON COLUMN subscriptions.partition_by IS
$$What decides a message's partition: stream, cardinal_id or metadata:<key>.$$;
COMMENT ON COLUMN subscriptions.on_failure IS
$$What happens to a message after its last attempt: stop (its partition) or park (it, and go on).$$;
COMMENT ON COLUMN subscriptions.stream_pattern IS
$$LIKE pattern of stream names, or NULL for all.$$;
COMMENT ON COLUMN subscriptions.categories IS $$Categories to read, or NULL for all.$$;
COMMENT ON COLUMN subscriptions.types IS $$Types to read, or NULL for all.$$;

CREATE TABLE subscription_partitions (
  subscription_id bigint NOT NULL,
  partition bigint NOT NULL,
  checkpoint bigint NOT NULL,
  token bigint NOT NULL,
  attempts bigint NOT NULL,
  failed_position bigint,
  leased_until timestamptz,
  retry_at timestamptz,
  lease interval,
  stopped boolean NOT NULL,
  owner text,
  error text,
  CONSTRAINT subscription_partitions_subscription_id_partition_pkey
    PRIMARY KEY (subscription_id, partition)
)
-- Rows change with every batch: room for new versions on the same page.
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE subscription_partitions IS $$Progress and lease of each partition.$$;
COMMENT ON COLUMN subscription_partitions.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_partitions.partition IS $$Number of the partition, from 0.$$;
COMMENT ON COLUMN subscription_partitions.checkpoint IS
$$Every message of the partition up to this global position has been dealt with.$$;
COMMENT ON COLUMN subscription_partitions.token IS $$Fencing token of the last lease.$$;
COMMENT ON COLUMN subscription_partitions.attempts IS
$$Failed attempts at the message at failed_position.$$;
COMMENT ON COLUMN subscription_partitions.failed_position IS $$The message that failed, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.leased_until IS $$End of the lease, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.retry_at IS $$Not handed out before this time, or NULL.$$;
COMMENT ON COLUMN subscription_partitions.lease IS $$Length of the lease.$$;
COMMENT ON COLUMN subscription_partitions.stopped IS
$$Whether a failed message holds it, until it is resumed.$$;
COMMENT ON COLUMN subscription_partitions.owner IS $$Who has, or last had, the lease.$$;
COMMENT ON COLUMN subscription_partitions.error IS $$Error of the last failed attempt.$$;

-- Written only by who looks for work, in a short transaction of its own, never by a handler's: so a
-- handler that keeps its transaction open blocks nobody else's partition.
CREATE TABLE subscription_sweeps (
  subscription_id bigint NOT NULL,
  swept_position bigint NOT NULL,
  CONSTRAINT subscription_sweeps_subscription_id_pkey PRIMARY KEY (subscription_id)
)
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE subscription_sweeps IS $$How far each subscription has looked for work.$$;
COMMENT ON COLUMN subscription_sweeps.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_sweeps.swept_position IS
$$Every message up to this global position is in subscription_heads, if it was not dealt with.$$;

CREATE TABLE subscription_heads (
  subscription_id bigint NOT NULL,
  partition bigint NOT NULL,
  head bigint NOT NULL,
  CONSTRAINT subscription_heads_subscription_id_partition_pkey
    PRIMARY KEY (subscription_id, partition)
)
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX subscription_heads_subscription_id_head_idx
  ON subscription_heads (subscription_id, head);
COMMENT ON TABLE subscription_heads IS $$Partitions in which messages wait.$$;
COMMENT ON COLUMN subscription_heads.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_heads.partition IS $$Number of the partition.$$;
COMMENT ON COLUMN subscription_heads.head IS
$$Global position up to which messages of the partition may wait.$$;

CREATE TABLE subscription_work (
  subscription_id bigint NOT NULL,
  partition bigint NOT NULL,
  head bigint NOT NULL,
  positions bigint[] NOT NULL,
  CONSTRAINT subscription_work_subscription_id_partition_head_pkey
    PRIMARY KEY (subscription_id, partition, head)
)
WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE subscription_work IS
$$What each look for work has found for each partition, of subscriptions with more than one: so that
no partition looks at the messages of the others.$$;
COMMENT ON COLUMN subscription_work.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN subscription_work.partition IS $$Number of the partition.$$;
COMMENT ON COLUMN subscription_work.head IS $$The last of positions.$$;
COMMENT ON COLUMN subscription_work.positions IS
$$Global positions of the messages found, in order.$$;

CREATE TABLE parked_messages (
  subscription_id bigint NOT NULL,
  global_position bigint NOT NULL,
  partition bigint NOT NULL,
  attempts bigint NOT NULL,
  parked_at timestamptz NOT NULL,
  replay boolean NOT NULL,
  error text,
  CONSTRAINT parked_messages_subscription_id_global_position_pkey
    PRIMARY KEY (subscription_id, global_position)
);
CREATE INDEX parked_messages_subscription_id_partition_global_position_idx
  ON parked_messages (subscription_id, partition, global_position)
  WHERE replay;
COMMENT ON TABLE parked_messages IS $$Messages that a subscription has put aside.$$;
COMMENT ON COLUMN parked_messages.subscription_id IS $$subscriptions.subscription_id.$$;
COMMENT ON COLUMN parked_messages.global_position IS $$The message.$$;
COMMENT ON COLUMN parked_messages.partition IS $$Its partition.$$;
COMMENT ON COLUMN parked_messages.attempts IS $$How often it was tried.$$;
COMMENT ON COLUMN parked_messages.parked_at IS $$When it was put aside.$$;
COMMENT ON COLUMN parked_messages.replay IS $$Whether it is to be handed out again.$$;
COMMENT ON COLUMN parked_messages.error IS $$Error of the last attempt.$$;

-- Frozen: checkpoints mean what they mean only as long as each message stays in its partition.
CREATE FUNCTION partition_of(
  stream_id bigint,
  stream text,
  metadata jsonb,
  partitions bigint,
  partition_by text
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
  WHEN partition_by COLLATE "C" = 'stream'
    THEN ((stream_id & 2147483647) * 2654435761 & 4294967295) >> 12
  ELSE ('x' || encode(substr(sha256(convert_to(coalesce(
    CASE
      WHEN partition_by COLLATE "C" = 'cardinal_id' AND strpos(stream COLLATE "C", '-') > 0
        THEN split_part(
          substr(stream, strpos(stream COLLATE "C", '-') + 1) COLLATE "C", '+', 1
        )
      WHEN partition_by COLLATE "C" LIKE 'metadata:%' THEN metadata ->> substr(partition_by, 10)
    END,
    stream
  ), 'UTF8')), 1, 6), 'hex'))::bit(48)::bigint
END % partitions;

COMMENT ON FUNCTION partition_of(bigint, text, jsonb, bigint, text) IS
$$Internal: the partition, from 0, of a message. By stream: a hash of the stream's internal id. By
cardinal_id: of the stream's id up to the first "+". By metadata:<key>: of that value. Where the
name has no id, or the metadata no such key, by the stream's name.$$;
