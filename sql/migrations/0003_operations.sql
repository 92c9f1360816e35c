-- breaking: no
-- What operators need: floors of streams that were cut off, retention, rights and the audit. And
-- what waits in a subscription's only partition, in its own row.
-- Writers and workers wait for this transaction from its first lock on: rather give up soon and try
-- again.

-- Some take a lock on streams first and on partitions then, others the other way round. To wait
-- long for one of them while the other is held would deadlock with either; so it is given back.
DO $$
BEGIN
  FOR attempt IN 1..20 LOOP
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      LOCK TABLE
        streams, subscriptions, subscription_sweeps, subscription_heads, subscription_partitions
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

ALTER TABLE subscription_partitions ADD COLUMN head bigint;
COMMENT ON COLUMN subscription_partitions.head IS
$$Global position up to which messages may wait, if it is the only partition; else NULL, and
subscription_heads has it.$$;
COMMENT ON TABLE subscription_sweeps IS
$$How far each subscription with more than one partition has looked for work.$$;
COMMENT ON TABLE subscription_heads IS
$$Partitions in which messages wait, of subscriptions with more than one.$$;

UPDATE subscription_partitions AS p
SET
  checkpoint = CASE WHEN h.head > p.checkpoint THEN p.checkpoint ELSE w.swept_position END,
  head = w.swept_position
FROM subscriptions AS s
JOIN subscription_sweeps AS w USING (subscription_id)
LEFT JOIN subscription_heads AS h USING (subscription_id)
WHERE s.subscription_id = p.subscription_id AND s.partitions = 1;
DELETE FROM subscription_heads AS h
USING subscriptions AS s
WHERE s.subscription_id = h.subscription_id AND s.partitions = 1;

CREATE SEQUENCE audit_id_seq AS bigint;
COMMENT ON SEQUENCE audit_id_seq IS $$Numbers of the audit's entries.$$;

CREATE TABLE audit (
  audit_id bigint NOT NULL,
  done_at timestamptz NOT NULL,
  session_role text COLLATE "C" NOT NULL,
  acting_role text COLLATE "C" NOT NULL,
  action text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  reason text,
  detail jsonb NOT NULL,
  CONSTRAINT audit_audit_id_pkey PRIMARY KEY (audit_id)
);
COMMENT ON TABLE audit IS
$$What was done to stored messages and to rights: who, when, what and why, never the content.$$;
COMMENT ON COLUMN audit.audit_id IS $$Number of the entry, from audit_id_seq.$$;
COMMENT ON COLUMN audit.done_at IS $$When it was done.$$;
COMMENT ON COLUMN audit.session_role IS $$Role that the session logged in as.$$;
COMMENT ON COLUMN audit.acting_role IS $$Role that it had set with SET ROLE, or the same.$$;
COMMENT ON COLUMN audit.action IS $$Name of the function that was called.$$;
COMMENT ON COLUMN audit.subject IS
$$The stream, category, message id or role that it was done to.$$;
COMMENT ON COLUMN audit.reason IS $$Why, as the caller said it, or NULL.$$;
COMMENT ON COLUMN audit.detail IS $$Counts, versions and settings: a JSON object.$$;

CREATE TABLE retention_policies (
  reached_position bigint NOT NULL,
  keep_after bigint,
  max_count bigint,
  max_age interval,
  keep_unhandled boolean NOT NULL,
  category text COLLATE "C" NOT NULL,
  CONSTRAINT retention_policies_category_pkey PRIMARY KEY (category)
)
-- A row changes with every batch that is deleted: room for new versions on the same page.
WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE retention_policies IS
$$Which messages of which categories apply_retention deletes.$$;
COMMENT ON COLUMN retention_policies.reached_position IS
$$Every message of the category up to this global position is gone.$$;
COMMENT ON COLUMN retention_policies.keep_after IS
$$Global position that max_count messages are known to be after, or NULL.$$;
COMMENT ON COLUMN retention_policies.max_count IS $$How many messages are kept, or NULL.$$;
COMMENT ON COLUMN retention_policies.max_age IS $$How long messages are kept, or NULL.$$;
COMMENT ON COLUMN retention_policies.keep_unhandled IS
$$Whether what a subscription to the category has not handled yet is kept in any case.$$;
COMMENT ON COLUMN retention_policies.category IS $$The category.$$;

CREATE TABLE grants (
  role text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  categories text[] COLLATE "C",
  CONSTRAINT grants_role_kind_pkey PRIMARY KEY (role, kind)
);
COMMENT ON TABLE grants IS
$$Which rights were granted to which roles, for upgrades to grant what they add.$$;
COMMENT ON COLUMN grants.role IS $$Name of the role.$$;
COMMENT ON COLUMN grants.kind IS $$read, write, consume, monitor or admin.$$;
COMMENT ON COLUMN grants.categories IS $$Categories it may write to, or NULL for all.$$;

-- A constant, so that it costs writers nothing: it is inlined into their statements. Made anew by
-- note_restrictions when it changes, which makes the plans of all sessions anew.
CREATE FUNCTION writers_restricted()
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN false;

COMMENT ON FUNCTION writers_restricted() IS
$$Internal: whether any role may write to some categories only.$$;

COMMENT ON TABLE messages IS
$$The messages. Read them through all_messages or the functions. Rows are added; they go only from
the beginning of a stream (truncate_stream, delete_stream, apply_retention), and change only by
redact_message.$$;
COMMENT ON COLUMN messages.version IS
$$Place in the stream: 1, 2, 3 … without gaps; what was cut off is missing at the beginning.$$;

ALTER TABLE streams ADD COLUMN floor bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN streams.floor IS
$$Highest version that was cut off by truncate_stream, delete_stream or retention; 0 if none.$$;
