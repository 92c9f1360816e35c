CREATE OR REPLACE FUNCTION _refuse_refilter(
  source subscriptions,
  lowest bigint,
  furthest bigint,
  from_position bigint,
  safe bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  source.partitions := 1;  -- so that _subscription_has looks at the messages, not at what is listed
  IF from_position > safe THEN
    PERFORM _refuse_argument(
      'from_position', 'must not be beyond the safe position',
      jsonb_build_object('from_position', from_position, 'safe_position', safe)
    );
  ELSIF from_position < furthest THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_parameter_value',
      MESSAGE = format(
        'from_position %s was passed: subscription %s is at position %s', from_position,
        source.subscription, furthest
      ),
      DETAIL = json_build_object(
        'argument', 'from_position', 'reason', 'was passed', 'from_position', from_position,
        'subscription', source.subscription, 'position', furthest
      )::text,
      HINT = 'Leave it out: the subscription gains messages after its checkpoints. For the past, '
        'create a second subscription of another name with start_position.';
  ELSIF from_position > lowest
    AND _subscription_has(source, 0, lowest, from_position + 1)
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'invalid_parameter_value',
      MESSAGE = format(
        'from_position %s is not reached yet: subscription %s is at position %s', from_position,
        source.subscription, lowest
      ),
      DETAIL = json_build_object(
        'argument', 'from_position', 'reason', 'is not reached yet', 'from_position', from_position,
        'subscription', source.subscription, 'position', lowest
      )::text,
      HINT = 'Leave it out, or have the workers handle the messages up to there first.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_refilter(subscriptions, bigint, bigint, bigint, bigint) IS
$$Internal: raise 22023 unless all partitions of a subscription, which have reached positions from
lowest to furthest, can continue after from_position: they have handled what waited before, and
nothing after it. NULL is never refused.$$;
