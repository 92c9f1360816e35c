CREATE OR REPLACE FUNCTION _refuse_argument(
  argument text,
  reason text,
  detail jsonb DEFAULT '{}'
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Not IMMUTABLE: the planner would raise for constant arguments, whether or not they are reached.
  RAISE EXCEPTION USING
    ERRCODE = 'invalid_parameter_value',
    -- As JSON, which has no control characters; shortened.
    MESSAGE = format('%s %s', argument, reason)
      || coalesce(', not ' || left((detail -> argument)::text, 60), '')
      || CASE WHEN length((detail -> argument)::text) > 60 THEN '…' ELSE '' END,
    DETAIL = jsonb_build_object('argument', argument, 'reason', reason) || detail,
    HINT = 'The description of the function says what it takes.';
END
$$;

COMMENT ON FUNCTION _refuse_argument(text, text, jsonb) IS
$$Internal: raise 22023 for an argument, with {"argument", "reason", …} as DETAIL. The message shows
the value, shortened, if detail has it under the argument's name.$$;
