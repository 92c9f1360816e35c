CREATE OR REPLACE FUNCTION list_parked(
  subscription text
)
RETURNS TABLE (
  global_position bigint,
  stream text,
  version bigint,
  type text,
  message_id uuid,
  partition bigint,
  attempts bigint,
  parked_at timestamptz,
  replay boolean,
  error text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  source subscriptions := _subscription_of(subscription);
BEGIN
  RETURN QUERY
  SELECT
    k.global_position, s.stream, m.version, m.type, m.message_id, k.partition, k.attempts,
    k.parked_at, k.replay, k.error
  FROM parked_messages AS k
  LEFT JOIN LATERAL _message_at(k.global_position) AS m ON true
  LEFT JOIN LATERAL _stream_of(m.stream_id) AS s ON true
  WHERE k.subscription_id = source.subscription_id
  ORDER BY k.global_position;
END
$$;

COMMENT ON FUNCTION list_parked(text) IS
$$The messages that a subscription has put aside, with the error of the last attempt. Of one that
was deleted since, stream, version, type and id are NULL: it is not handed out again; drop_parked
forgets it.$$;
