CREATE OR REPLACE FUNCTION _may_lease(
  leased_until timestamptz,
  lease interval,
  retry_at timestamptz
)
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN
  (leased_until BETWEEN clock_timestamp() AND clock_timestamp() + lease) IS NOT TRUE
  AND (retry_at <= clock_timestamp()) IS NOT FALSE;

COMMENT ON FUNCTION _may_lease(timestamptz, interval, timestamptz) IS
$$Internal: return whether a partition is free by its times: no worker has a lease of it, and no
pause after a failure is left. A lease that ends later than its length from now is over too: the
clock was ahead when it began, and its end may be hours away. Inlined into the statements of the
claims.$$;
