CREATE OR REPLACE FUNCTION drop_snapshots(
  snapshot text,
  code_version bigint DEFAULT NULL
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
  dropped bigint;
BEGIN
  PERFORM _refuse_stranger('drop_snapshots');
  IF (octet_length(snapshot) BETWEEN 1 AND 255) IS NOT TRUE THEN
    PERFORM _refuse_value('snapshot', 'must have 1 to 255 bytes', to_jsonb(snapshot));
  END IF;
  -- Of a stream that was cut off, the last snapshot is all that is left of the beginning. A session
  -- that cuts one off at this moment has locked its row.
  WITH whole AS MATERIALIZED (
    SELECT s.stream_id
    FROM streams AS s
    WHERE s.floor = 0
      AND EXISTS (
        SELECT
        FROM snapshots AS a
        WHERE a.stream_id = s.stream_id
          AND a.snapshot = drop_snapshots.snapshot COLLATE "C"
          AND (a.code_version = drop_snapshots.code_version) IS NOT FALSE
      )
    FOR SHARE SKIP LOCKED
  )
  DELETE FROM snapshots AS n
  USING whole AS w
  WHERE n.stream_id = w.stream_id
    AND n.snapshot = drop_snapshots.snapshot COLLATE "C"
    AND (n.code_version = drop_snapshots.code_version) IS NOT FALSE;
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END
$$;

COMMENT ON FUNCTION drop_snapshots(text, bigint) IS
$$Drop the snapshots of this name and code_version (NULL: of every version); return how many. Those
of streams whose beginning was deleted, or is deleted by another transaction at this moment, stay.
Raises 22023 for a bad argument.$$;
