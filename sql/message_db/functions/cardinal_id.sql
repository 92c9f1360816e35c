CREATE OR REPLACE FUNCTION message_store.cardinal_id(
  stream_name varchar
)
RETURNS varchar
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
-- Not by id(): PostgreSQL asks for it to be there, and the files are in alphabetical order.
RETURN CASE
  WHEN strpos(cardinal_id.stream_name, '-') > 0 THEN split_part(
    substr(cardinal_id.stream_name, strpos(cardinal_id.stream_name, '-') + 1), '+', 1
  )
END;

COMMENT ON FUNCTION message_store.cardinal_id(varchar) IS
$$Return the cardinal id in a stream's name: the part of its id before the first "+"; NULL if there
is no id. Consumer groups are divided by it.$$;
