CREATE OR REPLACE FUNCTION range_of_several(
  categories text[],
  after_position bigint,
  up_to_position bigint,
  max_count bigint,
  types text[],
  stream_pattern text,
  partition bigint,
  partitions bigint,
  partition_by text
)
RETURNS SETOF message
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at
  FROM (
    SELECT DISTINCT u.category COLLATE "C" AS category
    FROM unnest(range_of_several.categories) AS u (category)
  ) AS c
  CROSS JOIN LATERAL (
    SELECT
      o.message_id, o.stream, o.version, o.global_position, o.type, o.data, o.metadata, o.added_at
    FROM range_of_category(
      c.category, range_of_several.after_position, range_of_several.up_to_position,
      range_of_several.max_count, range_of_several.types, range_of_several.stream_pattern,
      range_of_several.partition, range_of_several.partitions,
      range_of_several.partition_by
    ) AS o
  ) AS r
  ORDER BY r.global_position
  LIMIT range_of_several.max_count;
END;

COMMENT ON FUNCTION range_of_several(
  text[], bigint, bigint, bigint, text[], text, bigint, bigint, text
) IS
$$Internal: as range_of_all, of some categories: the first messages of each by its index, merged.$$;
