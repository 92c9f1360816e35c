CREATE OR REPLACE FUNCTION _refuse_message_ids(
  message_ids uuid[],
  streams text[],
  versions bigint[],
  places bigint[]
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  SELECT
    coalesce(g.place, g.n) - 1 AS index,
    g.message_id,
    coalesce(a.stream, g.earlier_stream) AS stream,
    coalesce(a.version, g.earlier_version) AS version,
    a.global_position
  INTO bad
  FROM (
    SELECT
      u.n, u.place, u.message_id, lag(u.stream) OVER w AS earlier_stream,
      lag(u.version) OVER w AS earlier_version
    FROM unnest(message_ids, streams, versions, places) WITH ORDINALITY
      AS u (message_id, stream, version, place, n)
    WINDOW w AS (PARTITION BY u.message_id ORDER BY u.n)
  ) AS g
  LEFT JOIN LATERAL (
    SELECT
      (SELECT s.stream FROM streams AS s WHERE s.stream_id = m.stream_id) AS stream, m.version,
      m.global_position
    FROM messages AS m
    WHERE m.message_id = g.message_id
    LIMIT 1
  ) AS a ON true
  WHERE g.earlier_stream IS NOT NULL OR a.stream IS NOT NULL
  ORDER BY g.n
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS002',
      MESSAGE = format(
        'message id %s is already used at version %s of stream %s',
        bad.message_id, bad.version, bad.stream
      ),
      DETAIL = json_build_object(
        'message_id', bad.message_id, 'stream', bad.stream, 'version', bad.version,
        'global_position', bad.global_position, 'index', bad.index
      )::text,
      HINT = 'A message that is stored already is skipped only if it is the same, at the same '
        'version of the same stream. Nothing of this batch was stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_message_ids(uuid[], text[], bigint[], bigint[]) IS
$$Internal: raise MS002 for the first of these ids that is there twice, or used by another message;
return if none is. places has the place of each in the batch, from 1; NULL: as they stand.$$;
