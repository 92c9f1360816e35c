CREATE OR REPLACE FUNCTION _stream_partition(
  stream_id bigint,
  partitions bigint
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN (((stream_id & 2147483647) * 2654435761 & 4294967295) >> 12) % partitions;

COMMENT ON FUNCTION _stream_partition(bigint, bigint) IS
$$Internal: return what _partition_of returns by stream. Inlined into its callers, hence without a
search_path of its own. _partition_of cannot be inlined, because it calls functions that are not
IMMUTABLE; its call takes longer than the rest of a look at a message.$$;
