CREATE OR REPLACE FUNCTION _same_metadata(
  stored jsonb,
  repeated jsonb
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT _same_metadata.stored IS NOT DISTINCT FROM _same_metadata.repeated
    -- Without such a key, NULL and an empty object are not the same.
    OR coalesce(
      _same_metadata.stored || _same_metadata.repeated,
      _same_metadata.stored,
      _same_metadata.repeated
    ) ?| k.of_attempt
    AND coalesce(_same_metadata.stored - k.of_attempt, jsonb '{}')
      = coalesce(_same_metadata.repeated - k.of_attempt, jsonb '{}')
  FROM (
    VALUES (ARRAY['causation_id', 'correlation_id', 'traceparent', 'tracestate'])
  ) AS k (of_attempt);
END;

COMMENT ON FUNCTION _same_metadata(jsonb, jsonb) IS
$$Internal: tell whether the metadata of a repeated write is the stored one, apart from the keys
that clients set by themselves: causation_id, correlation_id, traceparent and tracestate. Another
attempt may have another request, batch or span around it.$$;
