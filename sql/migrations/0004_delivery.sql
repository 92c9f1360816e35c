-- breaking: no
-- What a claim needs to know of the lease before: on which run of the server it began, how many
-- messages its worker can have had, and how many leases have passed without progress.
SET LOCAL lock_timeout = '3s';

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
