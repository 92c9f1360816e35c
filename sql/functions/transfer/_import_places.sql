CREATE OR REPLACE FUNCTION _import_places(
  streams text[],
  versions bigint[],
  OUT stream_ids bigint[],
  OUT category_keys bigint[],
  OUT misplaced bigint
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  missing text[];
BEGIN
  FOR turn IN 1..2 LOOP
    SELECT
      array_agg(s.stream_id ORDER BY g.n),
      array_agg(s.category_key ORDER BY g.n),
      count(*) FILTER (
        WHERE g.version <> 1 + CASE
          WHEN g.version_before IS NOT NULL THEN g.version_before
          ELSE greatest(s.floor, (SELECT l.version FROM _last_version(s.stream_id) AS l (version)))
        END
      ),
      array_agg(g.stream ORDER BY g.n) FILTER (
        WHERE s.stream_id IS NULL AND g.version_before IS NULL
      )
    INTO stream_ids, category_keys, misplaced, missing
    FROM (
      SELECT
        u.n, u.stream, u.version,
        lag(u.version) OVER (PARTITION BY u.stream COLLATE "C" ORDER BY u.n) AS version_before
      FROM unnest(streams, versions) WITH ORDINALITY AS u (stream, version, n)
    ) AS g
    LEFT JOIN LATERAL (
      SELECT i.stream_id, i.category_key, i.floor
      FROM streams AS i
      WHERE i.stream = g.stream COLLATE "C"
      LIMIT 1
    ) AS s ON true;
    EXIT WHEN missing IS NULL;

    LOCK TABLE messages IN ROW EXCLUSIVE MODE;  -- as in _create_stream
    -- Conflicts only with a stream that came into being after the transaction's snapshot: then this
    -- raises 40001.
    INSERT INTO streams AS s (stream_id, category_key, stream, category)
    SELECT
      nextval('stream_id_seq'), _category_key(category(d.stream)), d.stream, category(d.stream)
    FROM unnest(missing) WITH ORDINALITY AS d (stream, n)
    ORDER BY d.n
    ON CONFLICT DO NOTHING;
  END LOOP;
END
$$;

COMMENT ON FUNCTION _import_places(text[], bigint[]) IS
$$Internal: where messages go, creating streams that are not there; and how many have a version that
does not continue its stream. The caller holds the streams' locks.$$;
