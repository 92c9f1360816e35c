-- breaking: yes
-- One word for one thing: names say which role a function is for, and a column's content.

-- As migration 3: workers lock these tables in other orders. To wait long for one of them while
-- another is held would deadlock with a worker, so this gives its locks back.
DO $$
BEGIN
  FOR attempt IN 1..20 LOOP
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      LOCK TABLE
        streams, subscriptions, subscription_sweeps, subscription_heads, subscription_partitions,
        subscription_work, parked_messages
      IN ACCESS EXCLUSIVE MODE;
      EXIT;
    EXCEPTION
      WHEN lock_not_available THEN
        IF attempt = 20 THEN
          RAISE;
        END IF;
        PERFORM pg_sleep(0.1 * random());
    END;
  END LOOP;
END
$$;
SET LOCAL lock_timeout = '3s';

-- A function for the store itself begins with an underscore now. In one statement, because some are
-- called in the bodies of others.
DROP FUNCTION IF EXISTS
  acting_role, add_partitions, announce_write, apply_policy, begin_lease, claim_of, close_to_public,
  count_kept, count_lost_lease, create_stream, cut_category, cut_stream, drawn_position,
  enter_flight, finish_repartition, foreign_locks, forget_errors, grant_admin, grant_consume,
  grant_kind, grant_monitor, grant_objects, grant_read, grant_write, granted_names, granted_objects,
  handled_position, holds_kind, import_places, import_rest, import_version, in_store, last_visible,
  lease_only_partition, lease_partition, list_rights, lock_parked, lock_partitions, lock_rights,
  lock_stream, long_as_text, lost_lease, may_lease, may_write, nested_too_deep, new_token,
  note_restrictions, notify_sleepers, payload_problem, prepare_mark, range_of_all,
  range_of_category, range_of_several, range_of_stream, record_audit, refuse_argument,
  refuse_errors, refuse_filter, refuse_import, refuse_isolation, refuse_message_ids,
  refuse_position, refuse_sequences, refuse_session, refuse_stranger, refuse_target, refuse_version,
  refuse_write, repeated_write, restore_grants, revoke_admin, revoke_consume, revoke_kind,
  revoke_monitor, revoke_read, revoke_write, server_health, subscription_has, subscription_health,
  subscription_of, sweep_subscription, take_mark, time_fits, verify_indexes, verify_messages,
  verify_objects, verify_streams, verify_subscriptions, wait_for_handlers, window_end;

-- Their parameters or columns have other names.
DROP FUNCTION IF EXISTS claim_partition, claim_batch, list_partitions;

-- Those that views call, and those that this installation does not make anew, keep their places.
DO $$
DECLARE
  renamed record;
BEGIN
  FOR renamed IN
    SELECT r.old_name, coalesce(r.new_name, '_' || r.old_name) AS new_name
    FROM (
      VALUES
        ('open_marks', NULL), ('may_lock', NULL), ('category_key', NULL), ('partition_of', NULL),
        ('writers_restricted', NULL), ('stream_lock_class', NULL), ('mark_lock_class', NULL),
        ('bell_lock_class', NULL), ('mark_setting', NULL), ('write_batch', 'write_arrays')
    ) AS r (old_name, new_name)
    JOIN pg_proc AS p ON p.proname = r.old_name
    WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
  LOOP
    EXECUTE format('ALTER FUNCTION %I RENAME TO %I', renamed.old_name, renamed.new_name);
  END LOOP;
END
$$;

COMMENT ON COLUMN streams.category_key IS $$_category_key(category).$$;

-- A word each: the head of a partition, how far work was looked for, the last of some positions.
ALTER TABLE subscription_partitions RENAME COLUMN head TO swept_position;
COMMENT ON COLUMN subscription_partitions.swept_position IS
$$Global position up to which messages may wait, if it is the only partition; else NULL, and
subscription_sweeps and subscription_heads have it.$$;
ALTER TABLE subscription_partitions RENAME COLUMN owner TO worker;
COMMENT ON COLUMN subscription_partitions.worker IS
$$The worker that has, or last had, the lease.$$;
ALTER TABLE subscription_work RENAME COLUMN head TO last_position;
ALTER TABLE subscription_work
  RENAME CONSTRAINT subscription_work_subscription_id_partition_head_pkey
  TO subscription_work_subscription_id_partition_last_position_pkey;
-- The index keeps the column's old name otherwise, until a dump is restored.
ALTER TABLE subscription_work_subscription_id_partition_last_position_pkey
  RENAME COLUMN head TO last_position;

-- Conditions of each row. A partition has only those that cost its workers nothing: each CHECK is
-- made ready for each statement anew, and one of ten conditions was a tenth of fetch and
-- acknowledge. verify_store checks the rest.
UPDATE subscription_partitions AS p SET swept_position = p.checkpoint
WHERE p.swept_position < p.checkpoint;
ALTER TABLE subscription_partitions
  ADD CONSTRAINT subscription_partitions_checkpoint_check CHECK (checkpoint <= swept_position);
ALTER TABLE subscriptions
  ADD CONSTRAINT subscriptions_subscription_check
    CHECK (octet_length(subscription) BETWEEN 1 AND 255),
  ADD CONSTRAINT subscriptions_partitions_check CHECK (partitions BETWEEN 1 AND 65536),
  ADD CONSTRAINT subscriptions_next_partitions_check
    -- Not BETWEEN: a dump would write it with other parentheses.
    CHECK (next_partitions >= 1 AND next_partitions <= 65536 AND next_partitions <> partitions),
  ADD CONSTRAINT subscriptions_max_attempts_check CHECK (max_attempts >= 1),
  ADD CONSTRAINT subscriptions_retry_delay_check CHECK (retry_delay >= '0'),
  ADD CONSTRAINT subscriptions_on_failure_check CHECK (on_failure IN ('stop', 'park')),
  ADD CONSTRAINT subscriptions_partition_by_check CHECK (
    partition_by IN ('stream', 'cardinal_id') OR partition_by LIKE 'metadata:_%'
  ),
  ADD CONSTRAINT subscriptions_categories_check CHECK (cardinality(categories) > 0),
  ADD CONSTRAINT subscriptions_types_check CHECK (cardinality(types) > 0);
ALTER TABLE parked_messages
  ADD CONSTRAINT parked_messages_check
    CHECK (global_position >= 1 AND partition >= 0 AND attempts >= 1);
