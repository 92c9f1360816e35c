CREATE OR REPLACE FUNCTION _handled_position(
  category text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RETURN (
    SELECT min(subscription_position(s.subscription))
    FROM subscriptions AS s
    WHERE s.categories IS NULL OR _handled_position.category = ANY (s.categories)
  );
END
$$;

COMMENT ON FUNCTION _handled_position(text) IS
$$Internal: the global position up to which all subscriptions to a category have handled
everything; NULL if there is none.$$;
