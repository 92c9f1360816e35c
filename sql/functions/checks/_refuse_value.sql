CREATE OR REPLACE FUNCTION _refuse_value(
  argument text,
  reason text,
  value jsonb
)
RETURNS void
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN _refuse_argument(argument, reason, jsonb_build_object(argument, value));

COMMENT ON FUNCTION _refuse_value(text, text, jsonb) IS
$$Internal: raise 22023 for an argument as _refuse_argument does, with its value in DETAIL.$$;
