CREATE OR REPLACE FUNCTION _swept_position(
  subscription_id bigint,
  own_position bigint
)
RETURNS SETOF bigint
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT coalesce(
    _swept_position.own_position,
    (
      SELECT w.swept_position
      FROM subscription_sweeps AS w
      WHERE w.subscription_id = _swept_position.subscription_id
    )
  );
END;

COMMENT ON FUNCTION _swept_position(bigint, bigint) IS
$$Internal: return the global position up to which work was looked for: that in the row of an only
partition, otherwise that of the subscription. Returns a set because only such a function with a
query in it is inlined into its callers, hence without a search_path of its own.$$;
