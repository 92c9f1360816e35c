CREATE OR REPLACE FUNCTION _refuse_redaction(
  present jsonb,
  metadata jsonb
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- A subscription's checkpoints mean what they mean only as long as it stays in its partition.
  IF EXISTS (
    SELECT
    FROM subscriptions AS s
    WHERE s.partition_by LIKE 'metadata:%'
      AND present ->> substr(s.partition_by, 10)
        IS DISTINCT FROM _refuse_redaction.metadata ->> substr(s.partition_by, 10)
  ) THEN
    PERFORM _refuse_argument('metadata', 'must keep the key that a subscription partitions by');
  ELSIF EXISTS (
    SELECT
    FROM subscriptions AS s
    WHERE _refuse_redaction.metadata @> s.metadata AND (present @> s.metadata) IS NOT TRUE
  ) THEN
    -- A subscription that has passed the message would not hand it out any more.
    PERFORM _refuse_argument('metadata', 'must not be what a subscription chooses messages by');
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_redaction(jsonb, jsonb) IS
$$Internal: raise 22023 if a message with other metadata than its present one would be in another
partition of a subscription, or be chosen by one that does not choose it now. The caller has locked
its stream.$$;
