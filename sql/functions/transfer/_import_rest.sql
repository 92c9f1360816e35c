CREATE OR REPLACE FUNCTION _import_rest(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  reached_versions bigint[],
  tags jsonb[]
)
RETURNS bigint[]
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
  stored boolean[];
  wanted bigint[];
  next_versions bigint[];
  bad record;
  last_checked bigint;
BEGIN
  SELECT array_agg(coalesce(a.is_stored, false) ORDER BY u.n) INTO stored
  FROM unnest(streams, versions, types, data, metadata, message_ids, tags) WITH ORDINALITY
    AS u (stream, version, type, data, metadata, message_id, tags, n)
  LEFT JOIN LATERAL (
    SELECT
      m.version = u.version
        AND m.type = u.type COLLATE "C"
        AND m.data = u.data
        AND m.metadata IS NOT DISTINCT FROM u.metadata
        AND m.tags IS NOT DISTINCT FROM _tags_as_stored(u.tags)
        AND m.stream_id = (
          SELECT s.stream_id FROM streams AS s WHERE s.stream = u.stream COLLATE "C"
        ) AS is_stored
    FROM messages AS m
    WHERE m.message_id = u.message_id
    LIMIT 1
  ) AS a ON true;

  -- From here on the arrays hold the others only.
  SELECT
    coalesce(array_agg(g.n ORDER BY g.n), '{}'),
    array_agg(g.nth + coalesce(greatest(p.version, g.reached_version), bigint '0') ORDER BY g.n),
    array_agg(g.stream ORDER BY g.n), array_agg(g.version ORDER BY g.n),
    array_agg(g.message_id ORDER BY g.n)
  INTO wanted, next_versions, streams, versions, message_ids
  FROM (
    SELECT
      u.n, u.stream, u.version, u.message_id, u.reached_version,
      row_number() OVER (PARTITION BY u.stream COLLATE "C" ORDER BY u.n) AS nth
    FROM unnest(streams, versions, message_ids, reached_versions, stored) WITH ORDINALITY
      AS u (stream, version, message_id, reached_version, is_stored, n)
    WHERE NOT u.is_stored
  ) AS g
  LEFT JOIN LATERAL _import_version(g.stream) AS p ON true;

  SELECT g.n, g.place, g.stream, g.version, g.next_version - 1 AS at_version INTO bad
  FROM unnest(wanted, streams, versions, next_versions) WITH ORDINALITY
    AS g (place, stream, version, next_version, n)
  WHERE g.version <> g.next_version
  ORDER BY g.n
  LIMIT 1;

  -- That of the bad one, too: its id tells more, if it is in use.
  last_checked := coalesce(bad.n, cardinality(wanted)::bigint);
  PERFORM _refuse_message_ids(
    message_ids[:last_checked], streams[:last_checked], versions[:last_checked],
    wanted[:last_checked]
  );
  IF bad.n IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS001',
      MESSAGE = format(
        'stream %s is at version %s, a message of version %s does not continue it',
        bad.stream, bad.at_version, bad.version
      ),
      DETAIL = json_build_object(
        'stream', bad.stream, 'expected_version', bad.version - 1,
        'actual_version', bad.at_version, 'index', bad.place - 1
      )::text,
      HINT = 'Import the messages of a stream in order, into a stream that has exactly those '
        'before them. Nothing of this batch was stored.';
  END IF;
  RETURN wanted;
END
$$;

COMMENT ON FUNCTION _import_rest(
  text[], bigint[], text[], jsonb[], jsonb[], uuid[], bigint[], jsonb[]
) IS
$$Internal: return the places, from 1, of the messages of an import that are not stored yet. Raises
MS001 or MS002 for the first that does not continue its stream, or whose id is in use.
reached_versions has the version that earlier batches would bring each message's stream to; NULL
where the store knows.$$;
