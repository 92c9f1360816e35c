CREATE OR REPLACE FUNCTION _new_token(
  last_token bigint
)
RETURNS bigint
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN greatest(last_token + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

COMMENT ON FUNCTION _new_token(bigint) IS
$$Internal: a fencing token, higher than the partition's last one. Microseconds, and no sequence:
when the server crashes, a claim whose commit was not waited for is lost, and its token must not be
given again. Nor may one of a partition that was there before under the same name.$$;
