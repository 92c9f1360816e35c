CREATE OR REPLACE FUNCTION _subscription_of(
  subscription text
)
RETURNS subscriptions
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  found_row subscriptions;
BEGIN
  SELECT s.* INTO found_row
  FROM subscriptions AS s
  WHERE _is_open() AND s.subscription = _subscription_of.subscription COLLATE "C";
  IF found_row.subscription_id IS NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS021',
      MESSAGE = format('there is no subscription %s', left(subscription, 255)),
      DETAIL = json_build_object('subscription', subscription)::text,
      HINT = 'list_subscriptions() has the names there are; create_subscription makes one.';
  END IF;
  RETURN found_row;
END
$$;

COMMENT ON FUNCTION _subscription_of(text) IS
$$Internal: the subscription of this name. Raises MS021 if there is none.$$;
