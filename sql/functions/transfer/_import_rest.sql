CREATE OR REPLACE FUNCTION _import_rest(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[]
)
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  stored bigint[];
  wanted bigint[];
  bad record;
BEGIN
  SELECT coalesce(array_agg(g.n ORDER BY g.n), '{}') INTO stored
  FROM unnest(streams, versions, types, data, metadata, message_ids) WITH ORDINALITY
    AS g (stream, version, type, data, metadata, message_id, n)
  CROSS JOIN LATERAL (
    SELECT m.stream_id, m.version, m.type, m.data, m.metadata
    FROM messages AS m
    WHERE m.message_id = g.message_id
    LIMIT 1
  ) AS a
  WHERE a.version = g.version
    AND a.type = g.type COLLATE "C"
    AND a.data = g.data
    AND a.metadata IS NOT DISTINCT FROM g.metadata
    AND a.stream_id = (SELECT s.stream_id FROM streams AS s WHERE s.stream = g.stream COLLATE "C");

  SELECT coalesce(array_agg(g.n ORDER BY g.n), '{}') INTO wanted
  FROM (
    SELECT u.n FROM unnest(streams) WITH ORDINALITY AS u (stream, n)
    EXCEPT
    SELECT e.n FROM unnest(stored) AS e (n)
  ) AS g;
  IF wanted = '{}' THEN
    RETURN wanted;
  END IF;

  SELECT g.n - 1 AS index, g.stream, g.version, g.message_id, p.version + g.nth - 1 AS at_version
  INTO bad
  FROM (
    SELECT
      u.n, u.stream, u.version, u.message_id,
      row_number() OVER (PARTITION BY u.stream COLLATE "C" ORDER BY u.n) AS nth
    FROM unnest(streams, versions, message_ids) WITH ORDINALITY
      AS u (stream, version, message_id, n)
    JOIN unnest(wanted) AS w (n) USING (n)
  ) AS g
  CROSS JOIN LATERAL _import_version(g.stream) AS p
  WHERE g.version <> p.version + g.nth
  ORDER BY g.n
  LIMIT 1;
  IF FOUND THEN
    -- The id tells more, if it is in use.
    PERFORM _refuse_message_ids(
      ARRAY[bad.message_id], ARRAY[bad.stream], ARRAY[bad.version], bad.index
    );
    RAISE EXCEPTION USING
      ERRCODE = 'MS001',
      MESSAGE = format(
        'stream %s is at version %s, a message of version %s does not continue it',
        bad.stream, bad.at_version, bad.version
      ),
      DETAIL = json_build_object(
        'stream', bad.stream, 'expected_version', bad.version - 1,
        'actual_version', bad.at_version, 'index', bad.index
      )::text,
      HINT = 'Import the messages of a stream in order, into a stream that has exactly those '
        'before them. Nothing of this batch was stored.';
  END IF;
  RETURN wanted;
END
$$;

COMMENT ON FUNCTION _import_rest(text[], bigint[], text[], jsonb[], jsonb[], uuid[]) IS
$$Internal: places, from 1, of the messages of an import that are not stored yet. Raises MS001 or
MS002 for the first that does not continue its stream. The caller holds the streams' locks, and the
streams exist.$$;
