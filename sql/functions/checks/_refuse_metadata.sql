CREATE OR REPLACE FUNCTION _refuse_metadata(
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
  IF jsonb_typeof(metadata) <> 'object' THEN
    PERFORM _refuse_value('metadata', 'must be a JSON object, or NULL for all', metadata);
  ELSIF _payload_problem(metadata) IS NOT NULL THEN
    PERFORM _refuse_argument('metadata', _payload_problem(metadata));
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_metadata(jsonb) IS
$$Internal: raise 22023 for metadata that a subscription cannot choose messages by: no object, or an
object that no message can have, of which list_subscriptions may be unable to make a text.$$;
