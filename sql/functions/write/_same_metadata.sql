CREATE OR REPLACE FUNCTION _same_metadata(
  stored jsonb,
  repeated jsonb
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN _same_metadata.stored IS NOT DISTINCT FROM _same_metadata.repeated
  -- Without a trace, NULL and an empty object are not the same.
  OR coalesce(
    _same_metadata.stored || _same_metadata.repeated, _same_metadata.stored, _same_metadata.repeated
  ) ?| ARRAY['traceparent', 'tracestate']
  AND coalesce(_same_metadata.stored - ARRAY['traceparent', 'tracestate'], jsonb '{}')
    = coalesce(_same_metadata.repeated - ARRAY['traceparent', 'tracestate'], jsonb '{}');

COMMENT ON FUNCTION _same_metadata(jsonb, jsonb) IS
$$Internal: tell whether the metadata of a repeated write is the stored one, apart from traceparent
and tracestate: each attempt has a trace context of its own, or none.$$;
