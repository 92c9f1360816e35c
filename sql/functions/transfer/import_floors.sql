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
  changed bigint;
BEGIN
  PERFORM _refuse_stranger('import_floors');
  -- As in import_messages: no writer looks at the version of these streams meanwhile.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), k.key)
  FROM (
    SELECT DISTINCT hashtext(u.stream COLLATE "C") AS key
    FROM unnest(streams) AS u (stream)
    ORDER BY key
  ) AS k;

  PERFORM _refuse_sequences();
  PERFORM _refuse_floors(streams, floors, NULL);

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
