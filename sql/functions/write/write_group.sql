CREATE OR REPLACE FUNCTION write_group(
  streams text[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  expected_versions bigint[],
  message_ids uuid[]
)
RETURNS TABLE (
  message_id uuid,
  version bigint,
  global_position bigint
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
-- For an id that another transaction has not committed yet: all messages of the group wait for it.
SET lock_timeout = '100ms'
AS $$
#variable_conflict use_column
DECLARE
  turns bigint[];
  this_turn bigint := bigint '1';
  tried bigint;
  stored bigint;
  created bigint;
  nothing boolean := true;
BEGIN
  IF cardinality(types) <> cardinality(streams)
    OR cardinality(data) <> cardinality(streams)
    OR cardinality(metadata) <> cardinality(streams)
    OR cardinality(expected_versions) <> cardinality(streams)
    OR cardinality(message_ids) <> cardinality(streams)
  THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    -- The snapshot may be too old to know the streams' versions.
    RETURN;
  END IF;

  -- Try the locks of the streams, and leave out a stream that another transaction holds: a group
  -- that waited would hold up all its messages, and two groups could deadlock. The messages of one
  -- stream come one turn after the other. One id in two messages: neither is stored.
  turns := ARRAY(
    SELECT CASE
      WHEN w.acceptable
        AND count(*) OVER (PARTITION BY w.message_id) = 1
        AND pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(w.stream COLLATE "C"))
      THEN row_number() OVER (PARTITION BY w.stream ORDER BY w.n)
    END
    FROM (
      SELECT
        u.n, u.stream, u.message_id,
        octet_length(u.stream) BETWEEN 1 AND 1000
          AND octet_length(u.type) BETWEEN 1 AND 255
          AND u.data IS NOT NULL
          AND (jsonb_typeof(u.metadata) <> 'object') IS NOT TRUE
          AND _payload_problem(u.data) IS NULL
          AND _payload_problem(u.metadata) IS NULL
          AND u.message_id IS NOT NULL AS acceptable
      FROM unnest(streams, types, data, metadata, message_ids) WITH ORDINALITY
        AS u (stream, type, data, metadata, message_id, n)
    ) AS w
    ORDER BY w.n
  );

  -- As in write_message.
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    PERFORM _announce_write();
  ELSIF NOT _enter_flight() THEN
    PERFORM _notify_sleepers();
  END IF;

  LOOP
    -- A statement of its own: its snapshot is later than the locks.
    RETURN QUERY
    INSERT INTO messages AS m (
      global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
    )
    SELECT
      nextval('global_position_seq'), s.stream_id, coalesce(l.version, s.floor) + 1,
      s.category_key, clock_timestamp(), w.message_id, w.type, w.data, w.metadata
    FROM unnest(streams, types, data, metadata, expected_versions, message_ids, turns)
      AS w (stream, type, data, metadata, expected_version, message_id, turn)
    CROSS JOIN LATERAL (
      SELECT i.stream_id, i.category_key, i.category, i.floor
      FROM streams AS i
      WHERE i.stream = w.stream COLLATE "C"
      LIMIT 1
    ) AS s
    LEFT JOIN LATERAL _last_version(s.stream_id) AS l (version) ON true
    WHERE w.turn = this_turn
      AND (w.expected_version <> coalesce(l.version, s.floor)) IS NOT TRUE
      AND (NOT _writers_restricted() OR _may_write(_acting_role(), s.category))
      -- After the making of streams, only what is to begin them.
      AND (created IS NULL OR this_turn > 1 OR l.version IS NULL)
    ON CONFLICT (message_id) DO NOTHING
    RETURNING m.message_id, m.version, m.global_position;
    GET DIAGNOSTICS stored = ROW_COUNT;
    nothing := nothing AND stored = 0;

    tried := (SELECT count(*) FROM unnest(turns) AS t (turn) WHERE t.turn = this_turn);
    IF this_turn = 1 AND created IS NULL AND stored < tried THEN
      -- The locks guard the creation too. LIMIT keeps each of these one look-up for each message.
      INSERT INTO streams AS s (stream_id, category_key, stream, category)
      SELECT nextval('stream_id_seq'), _category_key(c.category), w.stream, c.category
      FROM unnest(streams, expected_versions, message_ids, turns)
        AS w (stream, expected_version, message_id, turn)
      CROSS JOIN LATERAL (SELECT category(w.stream)) AS c (category)
      LEFT JOIN LATERAL (
        SELECT i.stream_id FROM streams AS i WHERE i.stream = w.stream COLLATE "C" LIMIT 1
      ) AS known ON true
      LEFT JOIN LATERAL (
        SELECT m.version FROM messages AS m WHERE m.message_id = w.message_id LIMIT 1
      ) AS used ON true
      WHERE w.turn = 1
        AND (w.expected_version <> 0) IS NOT TRUE
        AND known.stream_id IS NULL
        AND used.version IS NULL
        AND (NOT _writers_restricted() OR _may_write(_acting_role(), c.category))
      ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS created = ROW_COUNT;
      CONTINUE WHEN created > 0;
    ELSIF this_turn = 1 AND stored < created THEN
      -- Roll back: otherwise a stream would be there without its message.
      RAISE EXCEPTION USING
        ERRCODE = 'serialization_failure',
        MESSAGE = 'an id of these messages was stored meanwhile',
        HINT = 'Nothing was stored. Write the messages singly.';
    END IF;
    EXIT WHEN (this_turn < ANY (turns)) IS NOT TRUE;
    this_turn := this_turn + 1;
  END LOOP;

  IF nothing THEN
    -- Without an id each such call of a transaction would take a mark.
    PERFORM pg_current_xact_id();
  END IF;
END
$$;

COMMENT ON FUNCTION write_group(text[], text[], jsonb[], jsonb[], bigint[], uuid[]) IS
$$Append messages that do not depend on one another, each to its own stream, in one transaction: for
programs that gather the writes of many tasks. Return a row for each message that was stored, in any
order. Call write_message for every other one: it stores the message or raises its error. The arrays
have the same length and hold one element a message. metadata, expected_versions, and any of their
elements, may be NULL; a message needs an id. Messages of one stream are stored in their order, each
with its own expected version. A message is not stored if another transaction holds its stream, if
the stream is at another version, or if its id is stored or is there twice. Nor is it stored if the
role may not write it, or if write_message would refuse an argument. Under REPEATABLE READ and
SERIALIZABLE none is stored. Locks the streams until the transaction ends; waits for no stream.
Raises 22023 if the arrays differ in length. Raises 55P03 if another transaction has held one of the
ids for 100 ms without a commit; 40P01 if two transactions wait for ids of each other; 40001 if one
has committed an id meanwhile. After an error nothing is stored: write each message singly.$$;
