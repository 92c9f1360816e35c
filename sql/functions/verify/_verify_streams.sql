CREATE OR REPLACE FUNCTION _verify_streams()
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
  RETURN QUERY
  SELECT
    text 'streams have the category of their name', count(*), count(*) FILTER (WHERE g.wrong),
    min(g.stream) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.stream,
      (s.category, s.category_key)
        IS DISTINCT FROM (category(s.stream), _category_key(category(s.stream))) AS wrong
    FROM streams AS s
  ) AS g;

  RETURN QUERY
  SELECT
    text 'streams are well formed', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('stream_id %s', g.stream_id)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      s.stream_id,
      (
        octet_length(s.stream) BETWEEN 1 AND 1000
        AND s.floor >= 0
        AND s.stream_id BETWEEN 1 AND pg_sequence_last_value('stream_id_seq')
      ) IS NOT TRUE AS wrong
    FROM streams AS s
  ) AS g;

  -- A missing end of a stream looks like one that was never written.
  RETURN QUERY
  SELECT
    text 'streams have messages or were cut off', count(*),
    count(*) FILTER (WHERE s.floor = 0 AND m.stream_id IS NULL),
    min(s.stream) FILTER (WHERE s.floor = 0 AND m.stream_id IS NULL)
  FROM streams AS s
  LEFT JOIN (SELECT DISTINCT a.stream_id FROM messages AS a) AS m USING (stream_id);

  RETURN QUERY
  SELECT
    text 'names and ids of streams are unique', coalesce(sum(g.rows), 0)::bigint,
    count(*) FILTER (WHERE g.rows > 1), min(g.name) FILTER (WHERE g.rows > 1)
  FROM (
    SELECT s.stream AS name, count(*) AS rows FROM streams AS s GROUP BY s.stream
    UNION ALL
    SELECT format('stream_id %s', s.stream_id), count(*) FROM streams AS s GROUP BY s.stream_id
  ) AS g;

  RETURN QUERY
  SELECT
    text 'snapshots are of versions of their streams', count(*),
    count(*) FILTER (WHERE g.wrong),
    min(format('stream_id %s: %s at version %s', g.stream_id, g.snapshot, g.version))
      FILTER (WHERE g.wrong)
  FROM (
    SELECT
      n.stream_id, n.snapshot, n.version,
      (n.version BETWEEN s.floor AND coalesce(m.version, s.floor)) IS NOT TRUE AS wrong
    FROM snapshots AS n
    LEFT JOIN streams AS s USING (stream_id)
    LEFT JOIN (
      SELECT a.stream_id, max(a.version) AS version FROM messages AS a GROUP BY a.stream_id
    ) AS m USING (stream_id)
  ) AS g;
END
$$;

COMMENT ON FUNCTION _verify_streams() IS
$$Internal: the checks of verify_store that read streams and their snapshots.$$;
