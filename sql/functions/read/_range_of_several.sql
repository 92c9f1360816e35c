CREATE OR REPLACE FUNCTION _range_of_several(
  categories text[],
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text,
  metadata jsonb DEFAULT NULL
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT r.*
  FROM (
    SELECT DISTINCT u.category COLLATE "C" AS category
    FROM unnest(_range_of_several.categories) AS u (category)
  ) AS c
  CROSS JOIN LATERAL _range_of_category(
    c.category, _range_of_several.after_position, _range_of_several.up_to_position,
    _range_of_several.max_count, _range_of_several.types, _range_of_several.stream_pattern,
    _range_of_several.partition, _range_of_several.partitions, _range_of_several.partition_by,
    _range_of_several.metadata
  ) AS r
  ORDER BY r.global_position
  LIMIT _range_of_several.max_count;
END;

COMMENT ON FUNCTION _range_of_several(
  text[], bigint, bigint, bigint, text[], text, bigint, bigint, text, jsonb
) IS
$$Internal: as _range_of_all, of some categories: the first messages of each by its index,
merged.$$;
