CREATE OR REPLACE FUNCTION _refuse_lease(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'MS020',
    MESSAGE = format(
      'the lease on partition %s of subscription %s is lost', partition, subscription
    ),
    DETAIL = json_build_object(
      'subscription', subscription, 'partition', partition, 'token', token
    )::text,
    HINT = 'Roll back: somebody else has, or had, the partition. Claim again.';
END
$$;

COMMENT ON FUNCTION _refuse_lease(text, bigint, bigint) IS $$Internal: raise MS020.$$;
