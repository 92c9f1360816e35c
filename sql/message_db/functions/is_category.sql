CREATE OR REPLACE FUNCTION message_store.is_category(
  stream_name varchar
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN coalesce(strpos(is_category.stream_name, '-') = 0, true);

COMMENT ON FUNCTION message_store.is_category(varchar) IS
$$Tell whether a name has no "-", and so is that of a category. NULL counts as one.$$;
