CREATE OR REPLACE FUNCTION set_retention(
  category text,
  max_age interval DEFAULT NULL,
  max_count bigint DEFAULT NULL,
  keep_unhandled boolean DEFAULT true,
  reason text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('set_retention');
  IF category IS NULL OR category(category) <> category COLLATE "C" THEN
    PERFORM _refuse_value('category', 'must be the name of a category', to_jsonb(category));
  ELSIF max_age IS NULL AND max_count IS NULL THEN
    PERFORM _refuse_argument('max_age', 'or max_count must be given; drop_retention ends a policy');
  ELSIF max_age NOT BETWEEN '0' AND '1000 years' THEN
    PERFORM _refuse_value('max_age', 'must be between 0 and 1000 years', to_jsonb(max_age));
  ELSIF max_count < 0 THEN
    PERFORM _refuse_value('max_count', 'must be 0 or more', to_jsonb(max_count));
  ELSIF keep_unhandled IS NULL THEN
    PERFORM _refuse_value('keep_unhandled', 'must be true or false', to_jsonb(keep_unhandled));
  END IF;

  INSERT INTO retention_policies AS p (
    reached_position, max_count, max_age, keep_unhandled, category
  )
  VALUES (
    0, set_retention.max_count, set_retention.max_age, set_retention.keep_unhandled,
    set_retention.category
  )
  ON CONFLICT ON CONSTRAINT retention_policies_category_pkey DO UPDATE
  SET
    reached_position = 0,
    keep_after = NULL,
    max_count = excluded.max_count,
    max_age = excluded.max_age,
    keep_unhandled = excluded.keep_unhandled;
  PERFORM _record_audit(
    'set_retention', category, reason,
    jsonb_build_object(
      'max_age', max_age::text, 'max_count', max_count, 'keep_unhandled', keep_unhandled
    )
  );
END
$$;

COMMENT ON FUNCTION set_retention(text, interval, bigint, boolean, text) IS
$$Say how long messages of a category are kept: those older than max_age, and those beyond the
newest max_count, are deleted by apply_retention, which something has to call. Messages that a
subscription to the category has not handled yet are kept, unless keep_unhandled is false. Replaces
the policy that the category has. Written to the audit. Raises 22023 for a bad argument.$$;
