CREATE OR REPLACE FUNCTION _refuse_filter(
  partition bigint,
  partitions bigint,
  partition_by text,
  stream_pattern text
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  IF partitions < 1 OR partitions > 65536 THEN
    PERFORM _refuse_value('partitions', 'must be between 1 and 65536', to_jsonb(partitions));
  ELSIF (partition IS NULL) <> (partitions IS NULL)
    OR partition NOT BETWEEN 0 AND partitions - 1
  THEN
    PERFORM _refuse_argument(
      'partition', 'must be between 0 and partitions - 1, both given or none',
      jsonb_build_object('partition', partition, 'partitions', partitions)
    );
  ELSIF (
    partition_by COLLATE "C" IN ('stream', 'cardinal_id')
    OR partition_by COLLATE "C" LIKE 'metadata:_%'
  ) IS NOT TRUE THEN
    PERFORM _refuse_value(
      'partition_by', 'must be stream, cardinal_id or metadata:<key>', to_jsonb(partition_by)
    );
  ELSIF (length(stream_pattern) - length(rtrim(stream_pattern, chr(92)))) % 2 = 1 THEN
    PERFORM _refuse_value(
      'stream_pattern', 'must not end with a single backslash', to_jsonb(stream_pattern)
    );
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_filter(bigint, bigint, text, text) IS
$$Internal: raise 22023 unless these say which messages to read.$$;
