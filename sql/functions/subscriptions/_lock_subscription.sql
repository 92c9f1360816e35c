CREATE OR REPLACE FUNCTION _lock_subscription(
  subscription text
)
RETURNS subscriptions
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  locked subscriptions;
BEGIN
  LOOP
    SELECT s.* INTO locked
    FROM subscriptions AS s
    WHERE _is_open() AND s.subscription = _lock_subscription.subscription COLLATE "C"
    FOR UPDATE;
    EXIT WHEN FOUND;
    -- Dropped before the lock was granted. Raises MS021, unless another one of this name was
    -- created since.
    PERFORM _subscription_of(subscription);
  END LOOP;
  RETURN locked;
END
$$;

COMMENT ON FUNCTION _lock_subscription(text) IS
$$Internal: lock the row of the subscription of this name, and return it. Raises MS021 if there is
none, also if it is dropped by the transaction that this one waits for.$$;
