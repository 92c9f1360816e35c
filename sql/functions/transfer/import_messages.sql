CREATE OR REPLACE FUNCTION import_messages(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  added_at timestamptz[],
  global_positions bigint[] DEFAULT NULL,
  tags jsonb[] DEFAULT NULL,
  OUT imported bigint,
  OUT skipped bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  stream_ids bigint[];
  category_keys bigint[];
  misplaced bigint;
  wanted bigint[];  -- NULL: all
  last_position bigint;
  first_position bigint;
  highest_position bigint;
BEGIN
  PERFORM _refuse_stranger('import_messages');
  PERFORM _refuse_import(
    streams, versions, types, data, metadata, message_ids, added_at, global_positions, tags
  );

  IF global_positions IS NULL THEN
    -- The locks of all streams, as every writer takes them: without them a stream could change
    -- between the checks below and the write. In the order of their keys, so that two imports do
    -- not wait for one another.
    PERFORM pg_advisory_xact_lock(_stream_lock_class(), k.key)
    FROM (
      SELECT DISTINCT hashtext(u.stream COLLATE "C") AS key
      FROM unnest(streams) AS u (stream)
      ORDER BY key
    ) AS k;
    IF EXISTS (SELECT FROM unnest(tags) AS u (tags) WHERE u.tags NOT IN ('null', '[]')) THEN
      -- Instead of the locks of all tags: conditions wait for the table.
      LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
    END IF;
  ELSE
    -- Nobody else may draw a position between the look at the last one and its change; an INSERT
    -- takes its lock on the table before it draws one. This keeps all writers out, so it stands for
    -- the locks of the streams. In the order in which a writer comes to the tables.
    LOCK TABLE messages IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE streams IN SHARE ROW EXCLUSIVE MODE;
  END IF;
  -- A position in a gap before stored messages would pass for a free one.
  PERFORM _refuse_sequences();
  PERFORM _announce_write();

  SELECT p.stream_ids, p.category_keys, p.misplaced INTO stream_ids, category_keys, misplaced
  FROM _import_places(streams, versions) AS p;

  skipped := bigint '0';
  IF misplaced > 0 THEN
    -- Part of an import that was interrupted, or refused.
    wanted := _import_rest(streams, versions, types, data, metadata, message_ids, NULL, tags);
    skipped := (cardinality(streams) - cardinality(wanted))::bigint;
    imported := bigint '0';
    IF wanted = '{}' THEN
      -- As write_arrays: a transaction that has a mark has an id.
      PERFORM pg_current_xact_id();
      RETURN;
    END IF;
    SELECT
      array_agg(m.stream ORDER BY m.n), array_agg(m.version ORDER BY m.n),
      array_agg(m.type ORDER BY m.n), array_agg(m.data ORDER BY m.n),
      array_agg(m.metadata ORDER BY m.n), array_agg(m.message_id ORDER BY m.n),
      array_agg(m.added_at ORDER BY m.n), array_agg(m.tags ORDER BY m.n),
      CASE
        WHEN import_messages.global_positions IS NOT NULL
          THEN array_agg(m.global_position ORDER BY m.n)
      END
    INTO
      streams, versions, types, data, metadata, message_ids, added_at, tags, global_positions
    FROM unnest(wanted) AS w (n)
    JOIN unnest(
      streams, versions, types, data, metadata, message_ids, added_at, global_positions, tags
    ) WITH ORDINALITY AS m (
      stream, version, type, data, metadata, message_id, added_at, global_position, tags, n
    ) USING (n);
    SELECT p.stream_ids, p.category_keys INTO stream_ids, category_keys
    FROM _import_places(streams, versions) AS p;
  END IF;

  IF global_positions IS NOT NULL THEN
    last_position := _drawn_position();
    -- Not by index: an array may begin at another one than 1.
    SELECT min(u.position), max(u.position) INTO first_position, highest_position
    FROM unnest(global_positions) AS u (position);
    IF first_position <= last_position THEN
      PERFORM _refuse_argument(
        'global_positions',
        format(
          'must be above the store''s last position, %s, not %s', last_position, first_position
        ),
        jsonb_build_object(
          'index', coalesce(wanted[1], 1) - 1, 'global_position', first_position,
          'last_position', last_position
        )
      );
    ELSIF highest_position >= 4611686018427387904 THEN
      -- 2^62: the sequence continues after it, and a store whose sequence is at its end takes no
      -- more messages.
      PERFORM _refuse_argument(
        'global_positions',
        format('must be less than 4611686018427387904, not %s', highest_position),
        -- The last one: they rise.
        jsonb_build_object(
          'index', coalesce(wanted[cardinality(wanted)], cardinality(streams)) - 1,
          'global_position', highest_position
        )
      );
    END IF;
  END IF;

  -- Not ON CONFLICT: that looks into every index twice.
  BEGIN
    WITH stored AS (
      INSERT INTO messages AS m (
        global_position, stream_id, version, category_key, added_at, message_id, type, data,
        metadata, tags
      )
      SELECT
        coalesce(w.global_position, nextval('global_position_seq')), w.stream_id, w.version,
        w.category_key, w.added_at, w.message_id, w.type, w.data, w.metadata,
        CASE WHEN w.tags IS NOT NULL THEN _tags_as_stored(w.tags) END
      FROM unnest(
        global_positions, stream_ids, versions, category_keys, added_at, message_ids, types, data,
        metadata, tags
      ) AS w (
        global_position, stream_id, version, category_key, added_at, message_id, type, data,
        metadata, tags
      )
      RETURNING m.global_position, m.tags
    )
    INSERT INTO message_tags (tag_key, global_position)
    SELECT DISTINCT _tag_key(u.tag), w.global_position
    FROM stored AS w
    CROSS JOIN unnest(w.tags) AS u (tag);
  EXCEPTION WHEN unique_violation THEN
    PERFORM _refuse_message_ids(message_ids, streams, versions, wanted);
    RAISE EXCEPTION USING
      ERRCODE = 'serialization_failure',
      MESSAGE = 'the transaction''s snapshot is older than what is stored',
      HINT = 'Try again, under READ COMMITTED.';
  END;
  imported := cardinality(streams)::bigint;

  IF global_positions IS NOT NULL THEN
    -- Last: a sequence does not go back if something fails after it.
    PERFORM setval('global_position_seq', highest_position);
  END IF;
END
$$;

COMMENT ON FUNCTION import_messages(
  text[], bigint[], text[], jsonb[], jsonb[], uuid[], timestamptz[], bigint[], jsonb[]
) IS
$$Bring in messages of another store, of many streams at once, all or nothing: with their versions,
ids, times and tags, in the order given. The arrays have the same length and hold one element a
message; metadata, tags and their elements may be NULL. The versions must continue the streams. If
one of the messages has tags, all other writers wait until the transaction ends. With
global_positions, which rise and are all above the store's last position, the messages keep them:
then other writers wait until the transaction ends, and one that has looked at the same stream
before gets 40001. Without, they get new ones, and the streams are locked until the transaction
ends, with one lock each: not more than some thousand streams at a time. A message that is stored
already, with the same id, content, stream and version, is skipped: an import that was interrupted
can be repeated. Answers how many were imported and how many skipped. Raises 22023 for a bad
message, MS001 if a version does not continue its stream, MS002 if an id is used by another
message; DETAIL has its index, from 0. If a transaction that kept positions is rolled back after the
call, those positions are lost: the same messages then need new ones.$$;
