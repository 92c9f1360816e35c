CREATE OR REPLACE FUNCTION check_handling(
  subscription text,
  partition bigint,
  token bigint
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  IF current_setting('pgstore.handling', true) IS DISTINCT FROM
    json_build_array(current_schema(), subscription, partition, token)::text
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS023',
      MESSAGE = format(
        'the transaction of a handler of subscription %s was ended before its message was '
        'acknowledged',
        subscription
      ),
      DETAIL = json_build_object(
        'subscription', subscription, 'partition', partition, 'token', token
      )::text,
      HINT = 'A handler must not run COMMIT or ROLLBACK in the transaction it is given. What it '
        'committed stays, and is done again when the message is handed out again.';
  END IF;
END
$$;

COMMENT ON FUNCTION check_handling(text, bigint, bigint) IS
$$Raise MS023 unless begin_handling was called for the same lease in this transaction: then COMMIT
or ROLLBACK has ended the transaction in which the handler's effects and the acknowledgement were to
be one. Call it in the statement that acknowledges, or just before.$$;
