CREATE OR REPLACE FUNCTION _remove_tags(
  message_id uuid,
  global_position bigint,
  tags text[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_custom_plan  -- as in _cut_category
AS $$
#variable_conflict use_column
BEGIN
  -- By id, not by position: for that the planner may skip along the index of categories
  -- (tests/plans).
  IF (
    SELECT _remove_tags.tags <@ coalesce(m.tags, '{}')
    FROM messages AS m
    WHERE m.message_id = _remove_tags.message_id
  ) IS NOT TRUE THEN
    -- Without the tags, which may be what nobody is to read in a log.
    PERFORM _refuse_argument('remove_tags', 'must be tags that the message has');
  END IF;
  UPDATE messages AS m
  SET tags = nullif(
    ARRAY(
      SELECT t.tag
      FROM unnest(m.tags) AS t (tag)
      WHERE t.tag <> ALL (_remove_tags.tags)
      ORDER BY t.tag COLLATE "C"
    ),
    '{}'
  )
  WHERE m.message_id = _remove_tags.message_id;
  -- A tag that stays may have the key of one that goes.
  PERFORM _drop_tag_rows(
    array_agg(_tag_key(t.tag)), array_agg(_remove_tags.global_position)
  )
  FROM unnest(_remove_tags.tags) AS t (tag)
  WHERE NOT EXISTS (
    SELECT
    FROM messages AS m
    CROSS JOIN unnest(m.tags) AS k (tag)
    WHERE m.message_id = _remove_tags.message_id AND _tag_key(k.tag) = _tag_key(t.tag)
  );
END
$$;

COMMENT ON FUNCTION _remove_tags(uuid, bigint, text[]) IS
$$Internal: take tags away from a message. Raises 22023 for one that it does not have. The caller
has locked its stream. No lock of the tags is needed: a condition that still sees them is refused
as before, and one that does not sees a message less.$$;
