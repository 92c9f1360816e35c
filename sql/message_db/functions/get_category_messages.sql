CREATE OR REPLACE FUNCTION message_store.get_category_messages(
  category varchar,
  "position" bigint DEFAULT 1,
  batch_size bigint DEFAULT 1000,
  correlation varchar DEFAULT NULL,
  consumer_group_member bigint DEFAULT NULL,
  consumer_group_size bigint DEFAULT NULL,
  condition varchar DEFAULT NULL
)
RETURNS SETOF message_store.message
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  from_position bigint := greatest(coalesce(get_category_messages."position", 1), 1);
  max_count bigint := nullif(coalesce(batch_size, 1000), -1);
  size smallint;
  range record;
BEGIN
  IF NOT message_store.is_category(get_category_messages.category) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'raise_exception',
      MESSAGE = format('Must be a category: %s', get_category_messages.category);
  ELSIF strpos(correlation, '-') > 0 THEN
    RAISE EXCEPTION USING
      ERRCODE = 'raise_exception',
      MESSAGE = format('Correlation must be a category (Correlation: %s)', correlation);
  END IF;
  PERFORM message_store._refuse_group(consumer_group_member, consumer_group_size);
  PERFORM message_store._refuse_condition(condition);
  size := consumer_group_size::smallint;
  -- A statement of its own, before the one that reads: its snapshot must be the later one.
  SELECT r.category_key, r.safe_position INTO STRICT range
  FROM message_store._category_range(get_category_messages.category) AS r;

  IF condition IS NULL THEN
    RETURN QUERY
    SELECT
      m.id::varchar, m.stream_name::varchar, m.type::varchar, m."position", m.global_position,
      m.data::varchar, m.metadata::varchar, m."time"
    FROM message_store._category_messages AS m
    -- Rows are compared, and ordered by both, as in _range_of_category of the store.
    WHERE (m.category_key, m.global_position) >= (range.category_key, from_position)
      AND (m.category_key, m.global_position) <= (range.category_key, range.safe_position)
      AND m.category = get_category_messages.category COLLATE "C"
      AND (
        correlation IS NULL
        OR message_store.category(m.metadata ->> 'correlationStreamName') = correlation
      )
      AND (
        size IS NULL
        OR mod(@ message_store.hash_64(message_store.cardinal_id(m.stream_name)), size)
          = consumer_group_member
      )
    ORDER BY m.category_key, m.global_position
    LIMIT max_count;
    RETURN;
  END IF;
  -- As in get_stream_messages. All but the condition has names and types that pg_catalog or
  -- message_store have exactly: for others, an object in public would be the better match.
  PERFORM set_config('search_path', 'message_store, public', true);
  RETURN QUERY EXECUTE format(
    $query$
    SELECT
      messages.id::varchar, messages.stream_name::varchar, messages.type::varchar,
      messages.position, messages.global_position, messages.data::varchar,
      messages.metadata::varchar, messages.time
    FROM message_store._category_messages AS messages
    WHERE (messages.category_key, messages.global_position) >= ($1, $2)
      AND (messages.category_key, messages.global_position) <= ($1, $3)
      AND messages.category = $4 COLLATE "C"
      AND (
        $5 IS NULL
        OR message_store.category(messages.metadata ->> text 'correlationStreamName')::text = $5
      )
      AND (
        $6 IS NULL
        OR mod(@ message_store.hash_64(message_store.cardinal_id(messages.stream_name)), $6) = $7
      )
      AND (%s)
    ORDER BY messages.category_key, messages.global_position
    LIMIT $8
    $query$,
    condition
  ) USING range.category_key, from_position, range.safe_position,
    get_category_messages.category::text, correlation::text, size::bigint, consumer_group_member,
    max_count;
END
$$;

COMMENT ON FUNCTION message_store.get_category_messages(
  varchar, bigint, bigint, varchar, bigint, bigint, varchar
) IS
$$Messages of a category from a global position on, in global order, at most batch_size; -1 is no
limit. correlation leaves those whose metadata's correlationStreamName is of that category. A
consumer group's member gets those of which hash_64 of the cardinal id, modulo the group's size, is
its number. A condition as in get_stream_messages. Returns no message before those that have lower
positions are committed or will never be: a reader that continues after the last one skips none. So
a transaction does not see here what it has written itself. Raises P0001 for arguments that Message
DB refuses; 2201W for a batch_size below -1; MS004 under REPEATABLE READ and SERIALIZABLE, MS005 on
a standby if no horizon was published.$$;
