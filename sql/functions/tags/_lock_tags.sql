CREATE OR REPLACE FUNCTION _lock_tags(
  written text[],
  condition jsonb
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- In the order of their keys, each once and in the stronger mode, so that no two calls deadlock.
  PERFORM CASE
    WHEN k.looked_for THEN pg_advisory_xact_lock(_tag_lock_class(), k.lock_key)
    ELSE pg_advisory_xact_lock_shared(_tag_lock_class(), k.lock_key)
  END
  FROM (
    SELECT hashtext(t.tag COLLATE "C") AS lock_key, bool_or(t.looked_for) AS looked_for
    FROM (
      SELECT w.tag, false AS looked_for FROM unnest(written) AS w (tag)
      UNION ALL
      SELECT i.item -> 'tags' ->> 0, true FROM jsonb_array_elements(condition) AS i (item)
    ) AS t
    GROUP BY 1
    ORDER BY 1
    OFFSET 0
  ) AS k;
  IF condition IS NOT NULL THEN
    -- An import keeps writers out of the table, instead of the locks of its messages' tags.
    LOCK TABLE messages IN ROW EXCLUSIVE MODE;
  END IF;
END
$$;

COMMENT ON FUNCTION _lock_tags(text[], jsonb) IS
$$Internal: lock tags until the transaction ends: those of messages that are written in shared mode;
the first one of each item of a condition in exclusive mode, so that no message that could match is
in flight. The caller looks for matches in its next statement.$$;
