CREATE OR REPLACE FUNCTION _verify_indexes()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- Without one of them this would look at each row for each row. Another check reports that it is
  -- missing.
  IF 7 > (
    SELECT count(*)
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid IN ('messages'::regclass, 'streams'::regclass, 'message_tags'::regclass)
      AND i.indisvalid
      AND c.relname IN (
        'messages_global_position_pkey', 'messages_message_id_key',
        'messages_stream_id_version_key', 'messages_category_key_global_position_idx',
        'streams_stream_id_pkey', 'streams_stream_key',
        'message_tags_tag_key_global_position_pkey'
      )
  ) THEN
    RETURN QUERY VALUES
      (text 'indexes find every message', bigint '0', bigint '0', NULL::text),
      ('indexes find every stream', 0, 0, NULL),
      ('indexes find every tag', 0, 0, NULL);
    RETURN;
  END IF;

  -- Rows come from the table itself, in the order of their place; LIMIT makes each of these one
  -- look-up in an index.
  RETURN QUERY
  SELECT
    text 'indexes find every message', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('position %s', g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.global_position,
      (
        m.ctid = p.ctid AND m.ctid = i.ctid AND m.ctid = v.ctid AND m.ctid = c.ctid
      ) IS NOT TRUE AS wrong
    FROM messages AS m
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a
      -- As in _message_at: otherwise another index could be tested twice, and this one never.
      WHERE a.global_position >= m.global_position AND a.global_position <= m.global_position
      ORDER BY a.global_position
      LIMIT 1
    ) AS p ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a WHERE a.message_id = m.message_id LIMIT 1
    ) AS i ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a
      WHERE a.stream_id = m.stream_id AND a.version = m.version
      LIMIT 1
    ) AS v ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM messages AS a
      WHERE (a.category_key, a.global_position) >= (m.category_key, m.global_position)
      ORDER BY a.category_key, a.global_position
      LIMIT 1
    ) AS c ON true
    WHERE m.ctid >= '(0,0)'
  ) AS g;

  RETURN QUERY
  SELECT
    text 'indexes find every stream', count(*), count(*) FILTER (WHERE g.wrong),
    min(g.stream) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.stream, (s.ctid = n.ctid AND s.ctid = i.ctid) IS NOT TRUE AS wrong
    FROM streams AS s
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM streams AS a WHERE a.stream = s.stream LIMIT 1
    ) AS n ON true
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM streams AS a WHERE a.stream_id = s.stream_id LIMIT 1
    ) AS i ON true
    WHERE s.ctid >= '(0,0)'
  ) AS g;

  RETURN QUERY
  SELECT
    text 'indexes find every tag', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('position %s: tag_key %s', g.global_position, g.tag_key)) FILTER (WHERE g.wrong)
  FROM (
    SELECT t.tag_key, t.global_position, (t.ctid = i.ctid) IS NOT TRUE AS wrong
    FROM message_tags AS t
    LEFT JOIN LATERAL (
      SELECT a.ctid FROM message_tags AS a
      WHERE (a.tag_key, a.global_position) >= (t.tag_key, t.global_position)
      ORDER BY a.tag_key, a.global_position
      LIMIT 1
    ) AS i ON true
    WHERE t.ctid >= '(0,0)'
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_indexes() IS
$$Internal: the checks of verify_store that read the indexes.$$;
