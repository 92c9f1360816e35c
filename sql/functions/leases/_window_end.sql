CREATE OR REPLACE FUNCTION _window_end(
  source subscriptions,
  after_position bigint,
  safe bigint,
  window_size bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN _window_of(
    source.categories, after_position, safe, window_size,
    CASE WHEN source.tags IS NOT NULL THEN _rarest_tag(source.tags, after_position) END
  );
END
$$;

COMMENT ON FUNCTION _window_end(subscriptions, bigint, bigint, bigint) IS
$$Internal: the global position up to which a subscription has at most so many messages of its
rarest tag, or of its categories, to look at, so that no look for work takes long.$$;
