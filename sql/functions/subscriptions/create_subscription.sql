CREATE OR REPLACE FUNCTION create_subscription(
  subscription text,
  categories text[] DEFAULT NULL,
  types text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partitions bigint DEFAULT 1,
  partition_by text DEFAULT 'stream',
  start_position bigint DEFAULT 0,
  start_time timestamptz DEFAULT NULL,
  on_failure text DEFAULT 'stop',
  max_attempts bigint DEFAULT 5,
  retry_delay interval DEFAULT '1 second',
  metadata jsonb DEFAULT NULL,
  tags text[] DEFAULT NULL
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  start_at bigint;
  new_id bigint;
  stored record;
BEGIN
  PERFORM _refuse_stranger('create_subscription');
  IF (octet_length(subscription) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value(
      'subscription', 'must be a name of 1 to 255 bytes', to_jsonb(subscription)
    );
  ELSIF partitions IS NULL THEN
    PERFORM _refuse_value('partitions', 'must be between 1 and 65536', to_jsonb(partitions));
  ELSIF start_position < 0 THEN
    PERFORM _refuse_value(
      'start_position', 'must be 0 or more, or NULL for the end', to_jsonb(start_position)
    );
  ELSIF (on_failure IN ('stop', 'park')) IS NOT TRUE THEN
    PERFORM _refuse_value('on_failure', 'must be stop or park', to_jsonb(on_failure));
  ELSIF (max_attempts >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_attempts', 'must be 1 or more', to_jsonb(max_attempts));
  ELSIF (retry_delay BETWEEN '0' AND '1000 years') IS NOT TRUE THEN
    PERFORM _refuse_value('retry_delay', 'must be between 0 and 1000 years', to_jsonb(retry_delay));
  END IF;
  PERFORM _refuse_metadata(metadata);
  categories := _set_of_names('categories', categories);
  types := _set_of_names('types', types);
  tags := _set_of_names('tags', tags);
  PERFORM _refuse_filter(0, partitions, partition_by, stream_pattern);

  IF start_time IS NOT NULL THEN
    start_at := position_before(start_time);
  ELSE
    start_at := coalesce(start_position, safe_position());
  END IF;

  INSERT INTO subscriptions AS s (
    subscription_id, partitions, max_attempts, created_at, retry_delay, paused, subscription,
    partition_by, on_failure, stream_pattern, categories, types, metadata,
    tags
  )
  VALUES (
    nextval('subscription_id_seq'), create_subscription.partitions,
    create_subscription.max_attempts, clock_timestamp(), create_subscription.retry_delay, false,
    create_subscription.subscription, create_subscription.partition_by,
    create_subscription.on_failure, create_subscription.stream_pattern,
    create_subscription.categories, create_subscription.types, create_subscription.metadata,
    create_subscription.tags
  )
  ON CONFLICT DO NOTHING
  RETURNING s.subscription_id INTO new_id;

  IF new_id IS NOT NULL THEN
    PERFORM _refuse_position(start_at);
    INSERT INTO subscription_sweeps (subscription_id, swept_position) VALUES (new_id, start_at);
    PERFORM _add_partitions(new_id, partitions, start_at);
    RETURN true;
  END IF;

  SELECT s.* INTO stored
  FROM subscriptions AS s
  WHERE s.subscription = create_subscription.subscription COLLATE "C";
  IF NOT FOUND THEN
    PERFORM _refuse_sequences();  -- the id that was drawn is in use
  ELSIF stored.categories IS DISTINCT FROM categories COLLATE "C"
    OR stored.types IS DISTINCT FROM types COLLATE "C"
    OR stored.stream_pattern IS DISTINCT FROM stream_pattern COLLATE "C"
    OR stored.partition_by <> partition_by COLLATE "C"
    OR stored.metadata IS DISTINCT FROM metadata
    OR stored.tags IS DISTINCT FROM tags COLLATE "C"
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS022',
      MESSAGE = (
        SELECT
          format('subscription %s exists and reads something else: ', subscription)
          || left(
            string_agg(
              format('%s %s, not %s', d.name, coalesce(d.present, 'any'), coalesce(d.given, 'any')),
              '; '
            ),
            500
          )
        FROM (
          VALUES
            ('categories', stored.categories::text, categories::text),
            ('types', stored.types::text, types::text),
            ('stream_pattern', stored.stream_pattern, stream_pattern),
            ('partition_by', stored.partition_by, partition_by),
            ('metadata', stored.metadata::text, metadata::text),
            ('tags', stored.tags::text, tags::text)
        ) AS d (name, present, given)
        WHERE d.present COLLATE "C" IS DISTINCT FROM d.given COLLATE "C"
      ),
      DETAIL = json_build_object(
        'subscription', subscription, 'categories', stored.categories, 'types', stored.types,
        'stream_pattern', stored.stream_pattern, 'partition_by', stored.partition_by,
        'metadata', stored.metadata, 'tags', stored.tags,
        'partitions', coalesce(stored.next_partitions, stored.partitions)
      )::text,
      HINT = 'refilter_subscription changes its filters. For another partition_by, give it another '
        'name, or drop it first.';
  ELSIF (stored.on_failure, stored.max_attempts, stored.retry_delay) IS NOT DISTINCT FROM (
    on_failure COLLATE "C", max_attempts, retry_delay
  ) THEN
    RETURN false;
  ELSE
    UPDATE subscriptions AS s
    SET
      on_failure = create_subscription.on_failure,
      max_attempts = create_subscription.max_attempts,
      retry_delay = create_subscription.retry_delay
    WHERE s.subscription_id = stored.subscription_id;
    IF FOUND THEN
      RETURN false;
    END IF;
  END IF;
  -- It was dropped after the conflict.
  RETURN create_subscription(
    subscription, categories, types, stream_pattern, partitions, partition_by, start_position,
    start_time, on_failure, max_attempts, retry_delay, metadata, tags
  );
END
$$;

COMMENT ON FUNCTION create_subscription(
  text, text[], text[], text, bigint, text, bigint, timestamptz, text, bigint, interval, jsonb,
  text[]
) IS
$$Create a named durable reader; true if it is new, false if it was there and reads the same. It
reads all messages, or those of some categories, types or streams (filters as read_all), whose
metadata contains an object, or that have all of some tags (as read_matching), in so many
partitions. It starts after start_position (0: at the beginning; NULL: at the end), or with the
messages added from start_time on. A failing message is tried max_attempts times, after
retry_delay that doubles each time; then its partition stops, or with on_failure park the message
is put aside. For one that is there the start and the number of partitions are as they are (see
rewind_subscription, repartition_subscription), and the three settings of failure are updated.
Raises 22023 for a bad argument; MS022 if it is there and reads something else (see
refilter_subscription).$$;
