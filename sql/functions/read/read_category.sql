CREATE OR REPLACE FUNCTION read_category(
  category text,
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  IF category IS NULL THEN
    PERFORM _refuse_value('category', 'must be the name of a category', to_jsonb(category));
  END IF;
  RETURN QUERY
  SELECT r.*
  FROM read_all(
    after_position, max_count, types, ARRAY[category], stream_pattern, partition, partitions,
    partition_by, up_to_position
  ) AS r;
END
$$;

COMMENT ON FUNCTION read_category(
  text, bigint, bigint, text[], text, bigint, bigint, text, bigint
) IS
$$Messages of a category's streams in global order: read_all with one category. By metadata:
read_matching.$$;
