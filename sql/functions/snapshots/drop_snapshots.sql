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
  -- Of a stream that was cut off, the last snapshot is all that is left of the beginning.
  DELETE FROM snapshots AS n
  USING streams AS s
  WHERE n.snapshot = drop_snapshots.snapshot COLLATE "C"
    AND (n.code_version = drop_snapshots.code_version) IS NOT FALSE
    AND s.stream_id = n.stream_id
    AND s.floor = 0;
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END
$$;

COMMENT ON FUNCTION drop_snapshots(text, bigint) IS
$$Drop the snapshots of this name and code_version (NULL: of every version); return how many. Those
of streams whose beginning was deleted stay. Raises 22023 for a bad argument.$$;
