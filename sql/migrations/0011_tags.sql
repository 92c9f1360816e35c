-- breaking: yes
-- Tags: names that messages of several streams share, and writes on the condition that no message
-- with certain tags has come.
--
-- Breaking: a call of a function that is dropped fails if it runs during the upgrade. It stores
-- nothing then.

-- As migration 10: this gives its locks back rather than wait long for one while it holds another.
DO $$
BEGIN
  FOR attempt IN 1..20 LOOP
    BEGIN
      SET LOCAL lock_timeout = '100ms';
      -- Together: a delivery of scheduled messages locks the last of them before the first.
      LOCK TABLE messages, subscriptions, scheduled_messages IN ACCESS EXCLUSIVE MODE;
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

ALTER TABLE messages ADD COLUMN tags text[] COLLATE "C";
COMMENT ON COLUMN messages.tags IS
$$Its tags, each once, in the order of their bytes; NULL if it has none.$$;
ALTER TYPE message ADD ATTRIBUTE tags text[] COLLATE "C";
COMMENT ON COLUMN message.tags IS $$Its tags, or NULL if it has none.$$;

ALTER TABLE scheduled_messages ADD COLUMN tags text[] COLLATE "C";
COMMENT ON COLUMN scheduled_messages.tags IS $$Its tags, as in messages; NULL if it has none.$$;

ALTER TABLE subscriptions
  ADD COLUMN tags text[] COLLATE "C",
  ADD CONSTRAINT subscriptions_tags_check CHECK (cardinality(tags) BETWEEN 1 AND 32);
COMMENT ON COLUMN subscriptions.tags IS
$$Tags that a message to read must all have, each once, in the order of their bytes, or NULL for
all.$$;

CREATE TABLE message_tags (
  tag_key bigint NOT NULL,
  global_position bigint NOT NULL,
  CONSTRAINT message_tags_tag_key_global_position_pkey PRIMARY KEY (tag_key, global_position)
);
COMMENT ON TABLE message_tags IS $$The messages of each tag, in global order.$$;
COMMENT ON COLUMN message_tags.tag_key IS $$Key of the tag, by _tag_key.$$;
COMMENT ON COLUMN message_tags.global_position IS $$Position of a message that has the tag.$$;

-- Frozen: rows hold its results.
CREATE FUNCTION _tag_key(
  tag text
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
STRICT
RETURN (
  'x' || substr(encode(sha256(convert_to(_tag_key.tag, 'UTF8')), 'hex'), 1, 16)
)::bit(64)::bigint;
COMMENT ON FUNCTION _tag_key(text) IS
$$Internal: 64-bit key that stands for a tag in message_tags. Two tags may share one, so a reader
by key compares the tag too.$$;

-- As the other lock classes, fixed here for good; none of theirs.
DO $$
DECLARE
  store_hash text := encode(sha256(convert_to('pgstore:' || current_schema(), 'UTF8')), 'hex');
  class integer;
BEGIN
  FOR attempt IN 1..100 LOOP
    class := (
      'x' || encode(
        substr(sha256(convert_to(store_hash || 'tag_lock_class' || attempt, 'UTF8')), 1, 4), 'hex'
      )
    )::bit(32)::integer;
    EXIT WHEN class NOT BETWEEN _mark_lock_class() AND _mark_lock_class() + 64
      AND class NOT IN (_stream_lock_class(), _bell_lock_class(), _gate_lock_class());
  END LOOP;
  EXECUTE format(
    'CREATE FUNCTION _tag_lock_class() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE '
      'RETURN %L::integer',
    class
  );
END
$$;
COMMENT ON FUNCTION _tag_lock_class() IS
$$Internal: first key of the advisory locks of tags: shared by writers of messages with that
tag, exclusive for a condition that looks for it.$$;

-- These take tags now, or return them. In one statement, because some are called in the bodies of
-- others.
DROP FUNCTION IF EXISTS
  read_page(bigint, bigint, text[], text[], text, bigint, bigint, text, bigint),
  read_matching(
    jsonb, bigint, bigint, text[], text[], text, bigint, bigint, text, bigint, bigint
  ),
  fetch_batch(text, bigint, bigint, bigint),
  _window_of(text[], bigint, bigint, bigint),
  create_subscription(
    text, text[], text[], text, bigint, text, bigint, timestamptz, text, bigint, interval, jsonb
  ),
  refilter_subscription(text, text[], text[], text, jsonb, bigint), list_subscriptions(),
  claim_batch, import_messages, check_messages, _import_rest, _refuse_import,
  write_message(text, text, jsonb, jsonb, bigint, uuid),
  write_arrays(text, text[], jsonb[], jsonb[], bigint, uuid[]),
  synchronize_stream(text, uuid[], text[], jsonb[], jsonb[], uuid[]),
  schedule_message(text, text, jsonb, timestamptz, jsonb, uuid),
  list_scheduled(text, bigint),
  redact_message(uuid, jsonb, text, jsonb),
  _refuse_write(text, bigint, text[], jsonb[], jsonb[], uuid[]),
  _repeated_write(bigint, bigint, bigint, text[], jsonb[], jsonb[], uuid[]);
