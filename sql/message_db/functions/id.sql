CREATE OR REPLACE FUNCTION message_store.id(
  stream_name varchar
)
RETURNS varchar
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
  WHEN strpos(id.stream_name, '-') > 0 THEN substr(id.stream_name, strpos(id.stream_name, '-') + 1)
END;

COMMENT ON FUNCTION message_store.id(varchar) IS
$$Return the id in a stream's name: the part after the first "-"; NULL if there is none.$$;
