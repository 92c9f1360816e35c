CREATE OR REPLACE FUNCTION category(
  stream text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
RETURN split_part(category.stream COLLATE "C", '-', 1);

COMMENT ON FUNCTION category(text) IS
$$Category of a stream: the part of its name before the first "-", or the whole name if there is
none. NULL for NULL.$$;
