CREATE OR REPLACE FUNCTION export_floors(
  category text DEFAULT NULL,
  stream text DEFAULT NULL
)
RETURNS TABLE (
  line text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('export_floors');
  RETURN QUERY
  SELECT '{"stream":' || to_json(s.stream)::text || ',"floor":' || s.floor || '}'
  FROM streams AS s
  WHERE _is_open()
    AND s.floor > 0
    AND (export_floors.category IS NULL OR s.category = export_floors.category COLLATE "C")
    AND (export_floors.stream IS NULL OR s.stream = export_floors.stream COLLATE "C")
  ORDER BY s.stream_id;
END
$$;

COMMENT ON FUNCTION export_floors(text, text) IS
$$The streams that were cut off, as JSON objects {"stream", "floor"}: of everything, of a category
or of a stream. Their messages begin at version floor plus 1.$$;
