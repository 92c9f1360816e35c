CREATE OR REPLACE FUNCTION _refuse_floors(
  streams text[],
  floors bigint[],
  reached_versions bigint[]
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
  IF cardinality(streams) IS DISTINCT FROM cardinality(floors)
    OR cardinality(reached_versions) <> cardinality(streams)
  THEN
    PERFORM _refuse_argument('floors', 'must be arrays of the same length');
  END IF;
  SELECT
    g.n - 1 AS index, g.stream, g.floor,
    g.floor BETWEEN 1 AND bigint '4611686018427387904' AS floor_fits
  INTO bad
  FROM unnest(streams, floors) WITH ORDINALITY AS g (stream, floor, n)
  WHERE (
    octet_length(g.stream) BETWEEN 1 AND 1000
    -- Beyond it must be room for the versions of all messages to come.
    AND g.floor BETWEEN 1 AND bigint '4611686018427387904'
  ) IS NOT TRUE
  ORDER BY g.n
  LIMIT 1;
  IF bad.floor_fits THEN
    PERFORM _refuse_argument(
      'stream', 'must be a name of 1 to 1000 bytes',
      jsonb_build_object('index', bad.index, 'stream', bad.stream)
    );
  ELSIF FOUND THEN
    PERFORM _refuse_argument(
      'floor', 'must be 1 or more, and 4611686018427387904 at most',
      jsonb_build_object('index', bad.index, 'floor', bad.floor)
    );
  END IF;

  SELECT g.n - 1 AS index, g.stream, g.floor, v.version INTO bad
  FROM unnest(streams, floors, reached_versions) WITH ORDINALITY
    AS g (stream, floor, reached_version, n)
  LEFT JOIN LATERAL _import_version(g.stream) AS p ON true
  CROSS JOIN LATERAL greatest(p.version, g.reached_version) AS v (version)
  WHERE v.version BETWEEN 1 AND g.floor - 1
  ORDER BY g.n
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS001',
      MESSAGE = format(
        'stream %s is at version %s, what was cut off up to version %s is missing in it',
        bad.stream, bad.version, bad.floor
      ),
      DETAIL = json_build_object(
        'stream', bad.stream, 'expected_version', bad.floor, 'actual_version', bad.version,
        'index', bad.index
      )::text,
      HINT = 'The stream was cut off since the messages here were imported. Nothing was stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_floors(text[], bigint[], bigint[]) IS
$$Internal: raise 22023 or MS001 for the first floor that cannot be imported; return if all can.
reached_versions has the version that earlier batches would bring each stream to; NULL where the
store knows.$$;
