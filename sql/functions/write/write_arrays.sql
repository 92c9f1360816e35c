CREATE OR REPLACE FUNCTION write_arrays(
  stream text,
  types text[],
  data jsonb[],
  metadata jsonb[] DEFAULT NULL,
  expected_version bigint DEFAULT NULL,
  message_ids uuid[] DEFAULT NULL,
  tags jsonb[] DEFAULT NULL,
  condition jsonb DEFAULT NULL,
  decided_upon text DEFAULT NULL,
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  target record;
  at_version bigint;
  written bigint;
  written_at timestamptz;
  distinct_tags text[];
  newer bigint;
BEGIN
  PERFORM _refuse_write(stream, expected_version, types, data, metadata, message_ids, tags);
  IF tags IS NOT NULL OR condition IS NOT NULL OR decided_upon IS NOT NULL THEN
    PERFORM _refuse_tags(tags);
    SELECT array_agg(DISTINCT t.tag COLLATE "C") INTO distinct_tags
    FROM unnest(tags) AS u (tags)
    CROSS JOIN jsonb_array_elements_text(nullif(u.tags, 'null')) AS t (tag);
    IF cardinality(distinct_tags) > 1000 THEN
      PERFORM _refuse_argument('tags', 'must be at most 1000 different ones in a call');
    END IF;
  END IF;

  -- See write_message for the order of these steps and the purpose of each lock.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream COLLATE "C"));
  IF distinct_tags IS NOT NULL OR condition IS NOT NULL OR decided_upon IS NOT NULL THEN
    newer := _meet_condition(distinct_tags, condition, decided_upon);
  END IF;
  PERFORM _announce_write();

  -- One statement, which locks both tables before its snapshot: between two, empty_store could
  -- delete the messages and raise the floor, and the version would be neither's.
  SELECT
    s.stream_id, s.category_key, coalesce(l.version, s.floor) AS version,
    _writers_restricted() OR current_setting('transaction_isolation') <> 'read committed' AS checked
  INTO target
  FROM streams AS s
  LEFT JOIN LATERAL _last_version(s.stream_id) AS l (version) ON true
  -- A closed store's version is not the stream's.
  WHERE s.stream = write_arrays.stream COLLATE "C" AND _is_open();
  IF NOT FOUND THEN
    PERFORM _refuse_target(stream, NULL);
    SELECT c.stream_id, c.category_key, bigint '0' AS version, false AS checked INTO target
    FROM _create_stream(stream) AS c;
  ELSIF target.checked THEN
    PERFORM _refuse_target(stream, target.stream_id);
  END IF;

  at_version := target.version;
  IF newer IS NULL AND (expected_version <> at_version) IS NOT TRUE THEN
    written_at := clock_timestamp();
    IF cardinality(types) > 1 AND current_setting('transaction_isolation') = 'read committed' THEN
      -- The stream's lock keeps its next versions free, so only an id can be in use. That is rare:
      -- for several messages it is cheaper to go back to before them than to ask for each.
      BEGIN
        INSERT INTO messages AS m (
          global_position, stream_id, version, category_key, added_at, message_id, type, data,
          metadata, tags
        )
        SELECT
          nextval('global_position_seq'), target.stream_id, at_version + w.n, target.category_key,
          written_at, coalesce(w.message_id, new_message_id()), w.type, w.data, w.metadata,
          CASE WHEN w.tags IS NOT NULL THEN _tags_as_stored(w.tags) END
        FROM unnest(types, data, metadata, message_ids, tags) WITH ORDINALITY
          AS w (type, data, metadata, message_id, tags, n);
        GET DIAGNOSTICS written = ROW_COUNT;
      EXCEPTION
        WHEN unique_violation THEN
          written := 0;
      END;
    ELSE
      INSERT INTO messages AS m (
        global_position, stream_id, version, category_key, added_at, message_id, type, data,
        metadata, tags
      )
      SELECT
        nextval('global_position_seq'), target.stream_id, at_version + w.n, target.category_key,
        written_at, coalesce(w.message_id, new_message_id()), w.type, w.data, w.metadata,
        CASE WHEN w.tags IS NOT NULL THEN _tags_as_stored(w.tags) END
      FROM unnest(types, data, metadata, message_ids, tags) WITH ORDINALITY
        AS w (type, data, metadata, message_id, tags, n)
      ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS written = ROW_COUNT;
    END IF;
  END IF;

  IF written = cardinality(types) THEN
    IF distinct_tags IS NOT NULL THEN
      INSERT INTO message_tags (tag_key, global_position)
      SELECT DISTINCT _tag_key(t.tag), m.global_position
      FROM (
        SELECT a.global_position, a.tags
        FROM messages AS a
        -- Rows are compared as in _range_of_category: for a plain range the planner may walk along
        -- all messages (tests/plans).
        WHERE (a.stream_id, a.version) > (target.stream_id, at_version)
          AND (a.stream_id, a.version) <= (target.stream_id, at_version + written)
        ORDER BY a.stream_id, a.version
        OFFSET 0
      ) AS m
      CROSS JOIN unnest(m.tags) AS t (tag);
    END IF;
    version := at_version + written;
    global_position := currval('global_position_seq');
  ELSE
    -- Not the expected version, a condition not met, or an id in use: a repetition, or refused.
    SELECT r.version, r.global_position INTO version, global_position
    FROM _repeated_write(
      target.stream_id, at_version, expected_version, types, data, metadata, message_ids, tags
    ) AS r;
    IF global_position IS NULL THEN
      IF newer IS NOT NULL THEN
        PERFORM _refuse_condition(newer);
      END IF;
      PERFORM _refuse_version(stream, target.stream_id, at_version, expected_version);
    END IF;
    -- A repetition writes nothing. Without an id each one of a transaction would take a mark, and
    -- horizon() would not look for it.
    PERFORM pg_current_xact_id();
  END IF;
END
$$;

COMMENT ON FUNCTION write_arrays(
  text, text[], jsonb[], jsonb[], bigint, uuid[], jsonb[], jsonb, text
) IS
$$Append several messages to a stream, all or nothing, with consecutive versions; answers the last
one's version and global position. As write_messages, for drivers that send arrays: the fastest way
in. The arrays have the same length and hold one element a message; metadata, message_ids and tags,
and any of their elements, may be NULL. An element of tags is a JSON array; all together have at
most 1000 different tags. condition and decided_upon are those of write_if. Call it in FROM, and see
write_message for errors.$$;
