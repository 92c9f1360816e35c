CREATE OR REPLACE FUNCTION refuse_filter(
  partition bigint,
  partitions bigint,
  partition_by text
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
    PERFORM refuse_argument('partitions', 'must be between 1 and 65536');
  ELSIF (partition IS NULL) <> (partitions IS NULL)
    OR partition NOT BETWEEN 0 AND partitions - 1
  THEN
    PERFORM refuse_argument(
      'partition', 'must be between 0 and partitions - 1, both given or none'
    );
  ELSIF (partition_by IN ('stream', 'cardinal_id') OR partition_by LIKE 'metadata:_%') IS NOT TRUE
  THEN
    PERFORM refuse_argument('partition_by', 'must be stream, cardinal_id or metadata:<key>');
  END IF;
END
$$;

COMMENT ON FUNCTION refuse_filter(bigint, bigint, text) IS
$$Internal: raise 22023 unless these say which share of the messages to read.$$;
