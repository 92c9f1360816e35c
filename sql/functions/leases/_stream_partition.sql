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
$$Internal: return what _partition_of returns by stream. The planner inlines this one: what
_partition_of computes by name keeps it a call, which takes longer than all else that a look does
with a message.$$;
