CREATE OR REPLACE FUNCTION import_floors(
  streams text[],
  floors bigint[]
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  changed bigint;
BEGIN
  PERFORM _refuse_stranger('import_floors');
  IF cardinality(streams) IS DISTINCT FROM cardinality(floors) THEN
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
  IF FOUND THEN
    PERFORM _refuse_argument(
      CASE WHEN bad.floor_fits THEN 'stream' ELSE 'floor' END,
      CASE WHEN bad.floor_fits THEN 'must be a name of 1 to 1000 bytes'
        ELSE 'must be 1 or more, and 4611686018427387904 at most' END,
      jsonb_build_object('index', bad.index) || CASE
        WHEN bad.floor_fits THEN jsonb_build_object('stream', bad.stream)
        ELSE jsonb_build_object('floor', bad.floor)
      END
    );
  END IF;

  -- As in import_messages: no writer looks at the version of these streams meanwhile.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), k.key)
  FROM (
    SELECT DISTINCT hashtext(u.stream COLLATE "C") AS key
    FROM unnest(streams) AS u (stream)
    ORDER BY key
  ) AS k;

  PERFORM _refuse_sequences();
  SELECT g.n - 1 AS index, g.stream, g.floor, p.version INTO bad
  FROM unnest(streams, floors) WITH ORDINALITY AS g (stream, floor, n)
  CROSS JOIN LATERAL _import_version(g.stream) AS p
  WHERE p.version BETWEEN 1 AND g.floor - 1
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

  INSERT INTO streams AS s (stream_id, category_key, stream, category, floor)
  SELECT
    nextval('stream_id_seq'), _category_key(category(g.stream)), g.stream, category(g.stream),
    max(g.floor)
  FROM unnest(streams, floors) AS g (stream, floor)
  WHERE NOT EXISTS (SELECT FROM _import_version(g.stream) AS p WHERE p.version >= 1)
  GROUP BY g.stream
  ON CONFLICT ON CONSTRAINT streams_stream_key DO UPDATE SET floor = excluded.floor;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END
$$;

COMMENT ON FUNCTION import_floors(text[], bigint[]) IS
$$Bring in that streams of another store were cut off: each floor is the highest version of its
stream that is gone. The next version of a stream that is empty here is then its floor plus 1; a
stream that is at its floor or beyond stays as it is. Before import_messages. Answers how many
streams got a floor. Raises 22023 for a bad argument, MS001 for a stream that ends below its floor;
DETAIL has its index, from 0.$$;
