CREATE OR REPLACE FUNCTION message_store.category(
  stream_name varchar
)
RETURNS varchar
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN split_part(category.stream_name, '-', 1);

COMMENT ON FUNCTION message_store.category(varchar) IS
$$Return the category of a stream: the part of its name before the first "-".$$;
