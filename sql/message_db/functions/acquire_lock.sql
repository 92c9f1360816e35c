CREATE OR REPLACE FUNCTION message_store.acquire_lock(
  stream_name varchar
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  key bigint := message_store.hash_64(message_store.category(stream_name));
BEGIN
  -- Writers do not take this key: they lock their stream. It keeps callers of this function apart.
  PERFORM pg_advisory_xact_lock(key);
  RETURN key;
END
$$;

COMMENT ON FUNCTION message_store.acquire_lock(varchar) IS
$$Take Message DB's lock of a stream's category until the transaction ends; return its key, the
hash_64 of the category. Writers do not take it: it excludes other callers of this function only.$$;
