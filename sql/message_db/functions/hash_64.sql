CREATE OR REPLACE FUNCTION message_store.hash_64(
  value varchar
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN ('x' || left(md5(hash_64.value), 16))::bit(64)::bigint;

COMMENT ON FUNCTION message_store.hash_64(varchar) IS
$$Return the first 64 bits of a text's MD5 as a number.$$;
