CREATE OR REPLACE FUNCTION _verify_messages()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_indexscan = off
SET enable_indexonlyscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- The rows themselves are read, not the indexes, which may be what is wrong. One statement a
  -- check: each sees one moment.
  RETURN QUERY
  SELECT
    text 'versions have no gaps', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('stream %s: version %s after %s', g.stream, g.version, g.before))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.version,
      s.stream,
      coalesce(lag(m.version) OVER w, s.floor) AS before,
      m.version <> coalesce(lag(m.version) OVER w, s.floor) + 1 AS wrong
    FROM messages AS m
    JOIN streams AS s USING (stream_id)
    WINDOW w AS (PARTITION BY m.stream_id ORDER BY m.version)
  ) AS g;

  RETURN QUERY
  SELECT
    text 'positions rise with versions', count(*), count(*) FILTER (WHERE g.wrong),
    min(
      format('stream_id %s: version %s at position %s', g.stream_id, g.version, g.global_position)
    ) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.stream_id, m.version, m.global_position,
      m.global_position <= lag(m.global_position, 1, 0::bigint)
        OVER (PARTITION BY m.stream_id ORDER BY m.version) AS wrong
    FROM messages AS m
  ) AS g;

  RETURN QUERY
  SELECT
    text 'messages have a stream', count(*), count(*) FILTER (WHERE s.stream_id IS NULL),
    min(format('position %s: stream_id %s', m.global_position, m.stream_id))
      FILTER (WHERE s.stream_id IS NULL)
  FROM messages AS m
  LEFT JOIN streams AS s USING (stream_id);

  RETURN QUERY
  SELECT
    text 'messages have the category of their stream', count(*),
    count(*) FILTER (WHERE m.category_key <> s.category_key),
    min(format('position %s: stream %s', m.global_position, s.stream))
      FILTER (WHERE m.category_key <> s.category_key)
  FROM messages AS m
  JOIN streams AS s USING (stream_id);

  RETURN QUERY
  SELECT
    text 'messages are well formed', count(*), count(*) FILTER (WHERE m.wrong),
    min(format('position %s', m.global_position)) FILTER (WHERE m.wrong)
  FROM (
    SELECT
      a.global_position,
      (
        a.global_position >= 1
        AND a.version >= 1
        AND octet_length(a.type) BETWEEN 1 AND 255
        AND a.data IS NOT NULL
        AND a.message_id IS NOT NULL
        AND _time_fits(a.added_at)
        AND (a.metadata IS NULL OR jsonb_typeof(a.metadata) = 'object')
        AND (
          a.tags IS NULL
          OR a.tags = _tags_as_stored(to_jsonb(a.tags)) AND NOT _tags_problem(to_jsonb(a.tags))
        )
      ) IS NOT TRUE AS wrong
    FROM messages AS a
  ) AS m;

  RETURN QUERY
  SELECT
    text 'tags lead to their messages', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('position %s: tag_key %s', g.global_position, g.tag_key)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      coalesce(t.tag_key, k.tag_key) AS tag_key,
      coalesce(t.global_position, k.global_position) AS global_position,
      t.tag_key IS NULL OR k.tag_key IS NULL AS wrong
    FROM message_tags AS t
    FULL JOIN (
      SELECT DISTINCT _tag_key(u.tag) AS tag_key, m.global_position
      FROM messages AS m
      CROSS JOIN unnest(m.tags) AS u (tag)
    ) AS k USING (tag_key, global_position)
  ) AS g;

  RETURN QUERY
  SELECT
    text 'message ids are unique', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1), min(g.message_id::text) FILTER (WHERE g.rows > 1)
  FROM (SELECT m.message_id, count(*) AS rows FROM messages AS m GROUP BY m.message_id) AS g;

  RETURN QUERY
  SELECT
    text 'versions are unique in their stream', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1),
    min(format('stream_id %s: version %s', g.stream_id, g.version)) FILTER (WHERE g.rows > 1)
  FROM (
    SELECT m.stream_id, m.version, count(*) AS rows FROM messages AS m
    GROUP BY m.stream_id, m.version
  ) AS g;

  RETURN QUERY
  SELECT
    text 'global positions are unique', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1), min(g.global_position::text) FILTER (WHERE g.rows > 1)
  FROM (
    SELECT m.global_position, count(*) AS rows FROM messages AS m GROUP BY m.global_position
  ) AS g;

  -- The sequence is read with each row, after the statement's snapshot: it only grows.
  RETURN QUERY
  SELECT
    text 'global positions are not above the sequence', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('position %s', g.global_position)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      m.global_position,
      m.global_position > _drawn_position() AS wrong
    FROM messages AS m
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_messages() IS
$$Internal: the checks of verify_store that read messages.$$;
