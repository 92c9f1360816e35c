CREATE OR REPLACE FUNCTION message_store.message_store_version()
RETURNS varchar
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN '1.3.0';

COMMENT ON FUNCTION message_store.message_store_version() IS
$$Return the version of Message DB whose interface this is.$$;
