CREATE OR REPLACE FUNCTION _repeated_write(
  stream_id bigint,
  at_version bigint,
  expected_version bigint,
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  tags jsonb[],
  OUT version bigint,
  OUT global_position bigint
)
RETURNS record
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  first_version bigint;
  matching bigint;
  other record;
  told boolean;
BEGIN
  SELECT m.message_id, array_agg(m.n - 1 ORDER BY m.n) AS indexes
  INTO other
  FROM unnest(message_ids) WITH ORDINALITY AS m (message_id, n)
  WHERE m.message_id IS NOT NULL
  GROUP BY m.message_id
  HAVING count(*) > 1
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      'message_ids', 'must not hold an id twice',
      jsonb_build_object('message_id', other.message_id, 'indexes', other.indexes)
    );
  END IF;

  -- LIMIT keeps this one look-up by id for each message, whatever the planner thinks of the sizes.
  SELECT
    a.message_id,
    (SELECT s.stream FROM streams AS s WHERE s.stream_id = a.stream_id) AS stream,
    a.version,
    a.global_position
  INTO other
  FROM unnest(message_ids) AS w (message_id)
  CROSS JOIN LATERAL (
    SELECT m.message_id, m.stream_id, m.version, m.global_position
    FROM messages AS m
    WHERE m.message_id = w.message_id
    LIMIT 1
  ) AS a
  -- Not what this very write has stored before it met an id in use.
  WHERE a.stream_id <> _repeated_write.stream_id OR a.version <= at_version
  ORDER BY a.global_position
  LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  SELECT count(*), min(a.version), max(a.version), max(a.global_position)
  INTO matching, first_version, _repeated_write.version, _repeated_write.global_position
  FROM unnest(types, data, metadata, message_ids, tags) WITH ORDINALITY
    AS w (type, data, metadata, message_id, tags, n)
  CROSS JOIN LATERAL (
    SELECT m.stream_id, m.version, m.global_position, m.type, m.data, m.metadata, m.tags
    FROM messages AS m
    WHERE m.message_id = w.message_id
    LIMIT 1
  ) AS a
  WHERE a.stream_id = _repeated_write.stream_id
    AND a.version = other.version + w.n - 1
    AND a.type = w.type COLLATE "C"
    AND a.data = w.data
    AND _same_metadata(a.metadata, w.metadata)
    AND a.tags IS NOT DISTINCT FROM _tags_as_stored(w.tags);
  IF matching <> cardinality(types) OR first_version - 1 <> expected_version THEN
    -- Do not reveal the stream to a role that may not write to it.
    told := NOT _writers_restricted() OR _may_write(_acting_role(), category(other.stream));
    IF NOT told THEN
      other.stream := '';
      other.version := 0;
      other.global_position := 0;
    END IF;
    RAISE EXCEPTION USING
      ERRCODE = 'MS002',
      MESSAGE = format('message id %s is already used', other.message_id) || CASE
        WHEN told THEN format(' at version %s of stream %s', other.version, other.stream)
        ELSE ''
      END,
      DETAIL = json_build_object(
        'message_id', other.message_id, 'stream', other.stream, 'version', other.version,
        'global_position', other.global_position
      )::text,
      HINT = CASE
        WHEN told THEN 'To repeat a write, send the same messages with the same ids and expected '
          'version to the same stream. '
        ELSE ''
      END || 'A new message needs a new id. Nothing was stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _repeated_write(
  bigint, bigint, bigint, text[], jsonb[], jsonb[], uuid[], jsonb[]
) IS
$$Internal: the place of the last of these messages if exactly they are stored already, in this
order, at the place they are to be written to; NULLs if none of their ids is stored. Raises 22023 if
an id is there twice, MS002 if any is stored otherwise.$$;
