CREATE OR REPLACE FUNCTION _may_wait(
  checkpoint bigint,
  own_position bigint,
  head bigint
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN coalesce(own_position, head) > checkpoint;

COMMENT ON FUNCTION _may_wait(bigint, bigint, bigint) IS
$$Internal: tell whether messages may wait in a partition: beyond its checkpoint, up to the swept
position of an only partition, or the head of another one. NULL if it has no head. Inlined into its
callers.$$;
