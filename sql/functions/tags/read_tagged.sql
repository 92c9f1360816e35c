CREATE OR REPLACE FUNCTION read_tagged(
  query jsonb,
  after_position bigint DEFAULT 0
)
RETURNS TABLE (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  tags text[],
  decided_upon text
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  safe bigint;
  positions bigint[];
BEGIN
  PERFORM _refuse_query('query', query);
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  END IF;
  -- A statement of its own, before the one that looks: its snapshot must be the later one.
  safe := (horizon()).safe_position;
  PERFORM _refuse_isolation();  -- afterwards, as in read_page
  IF after_position > safe THEN
    PERFORM _refuse_position(after_position);
  END IF;
  -- A position that was drawn and rolled back can be given again after a crash, and a token that
  -- names it would pass over the message that gets it.
  safe := _last_visible(safe);
  positions := ARRAY(
    SELECT DISTINCT f.global_position
    -- Above the safe position all that is known, for the token, whatever the caller wants to have.
    FROM _matches(query, least(after_position, safe), NULL) AS f
    ORDER BY f.global_position
  );
  RETURN QUERY
  SELECT
    m.message_id, s.stream, m.version, m.global_position, m.type, m.data, m.metadata, m.added_at,
    m.tags, NULL::text
  FROM unnest(positions) WITH ORDINALITY AS f (global_position, n)
  CROSS JOIN LATERAL _message_at(f.global_position) AS m
  CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
  WHERE f.global_position > after_position
  ORDER BY f.n;
  decided_upon := safe || '+' || array_to_string(
    ARRAY(
      SELECT f.global_position
      FROM unnest(positions) AS f (global_position)
      WHERE f.global_position > safe
    ),
    ','
  );
  RETURN NEXT;
END
$$;

COMMENT ON FUNCTION read_tagged(jsonb, bigint) IS
$$The messages that match a query, in global order, and a last row without a message, whose
decided_upon is the token for write_if. query is an array of 1 to 100 items {"tags", "types"?}, each
of 1 to 32 tags and 1 to 1000 types. A message matches an item if it has all its tags and one of its
types, and the query if it matches an item. Reads what is committed, also above the safe position.
after_position leaves out what the caller has: give the number before the + of an earlier token.
Below the position of the last message that was read another one can still be in flight. Write under
the condition that no further message matches: write_if with the same query and the token. Raises
22023 for a bad argument; MS004 unless under READ COMMITTED; MS006 if after_position is
beyond the end; on a standby as read_all.$$;
