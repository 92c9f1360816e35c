CREATE OR REPLACE FUNCTION _cut_stream(
  stream_id bigint,
  category text,
  from_version bigint,
  to_version bigint
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_custom_plan  -- as in _cut_category
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  failed bigint[];
  deleted bigint;
  tag_keys bigint[];
  tagged bigint[];
BEGIN
  -- Before the rows of _forget_errors: an import that waits for these tables has others wait behind
  -- it, and may itself wait for a handler that waits for one of these rows.
  LOCK TABLE messages, streams IN ROW EXCLUSIVE MODE;
  SELECT array_agg(DISTINCT e.global_position) INTO failed
  FROM _kept_errors() AS e
  CROSS JOIN LATERAL _message_at(e.global_position) AS m
  WHERE m.stream_id = _cut_stream.stream_id AND m.version BETWEEN from_version AND to_version;
  PERFORM _forget_errors(failed);
  WITH gone AS (
    DELETE FROM messages AS m
    WHERE m.stream_id = _cut_stream.stream_id
      AND m.version >= from_version
      AND m.version <= to_version
    RETURNING m.global_position, m.tags
  ),
  keys AS (
    SELECT DISTINCT _tag_key(u.tag) AS tag_key, g.global_position
    FROM gone AS g
    CROSS JOIN unnest(g.tags) AS u (tag)
  )
  SELECT (SELECT count(*) FROM gone), array_agg(k.tag_key), array_agg(k.global_position)
  INTO deleted, tag_keys, tagged
  FROM keys AS k;
  PERFORM _drop_tag_rows(tag_keys, tagged);
  UPDATE streams AS s
  SET floor = to_version
  WHERE s.stream_id = _cut_stream.stream_id AND s.floor < to_version;
  -- A state that lacks some of the deleted messages: no later state can be made of it any more.
  DELETE FROM snapshots AS n
  WHERE n.stream_id = _cut_stream.stream_id AND n.version < to_version;
  -- Fewer of the category are there than were counted.
  UPDATE retention_policies AS p
  SET keep_after = NULL
  WHERE p.category = _cut_stream.category AND p.keep_after IS NOT NULL;
  RETURN deleted;
END
$$;

COMMENT ON FUNCTION _cut_stream(bigint, text, bigint, bigint) IS
$$Internal: delete these versions, the first ones of a stream, and the snapshots that lack some of
them; remember the last one. The caller holds the stream's lock. Raises 55006 if a handler is at
work on one that failed.$$;
