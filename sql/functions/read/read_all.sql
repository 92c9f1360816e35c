CREATE OR REPLACE FUNCTION read_all(
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  categories text[] DEFAULT NULL,
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
  IF (max_count >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  END IF;
  RETURN QUERY
  SELECT
    r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata, r.added_at,
    r.tags
  FROM read_page(
    after_position, greatest(max_count, 1), types, categories, stream_pattern, partition,
    partitions, partition_by, up_to_position
  ) AS r
  WHERE r.message_id IS NOT NULL AND max_count > 0;
END
$$;

COMMENT ON FUNCTION read_all(
  bigint, bigint, text[], text[], text, bigint, bigint, text, bigint
) IS
$$Return messages of all streams in global order, at most max_count, after after_position
(exclusive). A reader that passes the last position it received as after_position sees every message
exactly once: read_all stops at the safe position, before anything in flight. Filters choose types,
categories, streams whose name is LIKE stream_pattern, and one partition of so many. The partition
is a hash of the stream, of the stream's cardinal_id (its id up to the first "+") or of
metadata:<key>. A NULL leaves out that filter. To choose messages by their metadata call
read_matching: where matches are rare, a call has to say how far it has looked. Raises 22023 for a
bad argument, MS004 under REPEATABLE READ and SERIALIZABLE, MS006 if after_position is beyond the
last position of the store. A standby is read up to the published horizon, under REPEATABLE READ
too: MS005 if none was published, MS031 if after_position is beyond it.$$;
