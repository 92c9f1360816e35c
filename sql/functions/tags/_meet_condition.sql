CREATE OR REPLACE FUNCTION _meet_condition(
  written text[],
  condition jsonb,
  decided_upon text
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  after_position bigint;
  known_positions bigint[];
BEGIN
  IF condition IS NOT NULL THEN
    PERFORM _refuse_query('condition', condition);
    PERFORM _refuse_isolation();
    IF (decided_upon ~ '^[0-9]{1,18}[+]([0-9]{1,18}(,[0-9]{1,18})*)?$') IS NOT TRUE THEN
      PERFORM _refuse_value(
        'decided_upon', 'must be what read_tagged answered', to_jsonb(decided_upon)
      );
    END IF;
    after_position := split_part(decided_upon, '+', 1)::bigint;
    IF after_position > _drawn_position() THEN
      PERFORM _refuse_position(after_position);
    END IF;
  ELSIF decided_upon IS NOT NULL THEN
    PERFORM _refuse_argument('condition', 'must be given with decided_upon');
  END IF;

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
  IF condition IS NULL THEN
    RETURN NULL;
  END IF;
  -- An import keeps writers out of the table, instead of the locks of its messages' tags.
  LOCK TABLE messages IN ROW EXCLUSIVE MODE;
  -- Into a variable: in the plan that is kept, this would be computed again for each message.
  known_positions := string_to_array(split_part(decided_upon, '+', 2), ',');
  RETURN (
    SELECT min(f.global_position)
    FROM jsonb_array_elements(condition) AS i (item)
    -- The first one of each item, not all.
    CROSS JOIN LATERAL (
      SELECT m.global_position
      FROM _matches(jsonb_build_array(i.item), after_position, known_positions) AS m
      LIMIT 1
    ) AS f
  );
END
$$;

COMMENT ON FUNCTION _meet_condition(text[], jsonb, text) IS
$$Internal: lock tags until the transaction ends: those of messages that are written in shared mode;
the first one of each item of a condition in exclusive mode, so that no message that could match is
in flight. Then return the position of the first message that matches the condition and that the
decision did not know, or NULL. Called with the settings of write_message, after the lock of the
stream. Raises 22023 for a condition or a token that is wrong; MS004 for a condition unless under
READ COMMITTED; MS006 if the decision is from another history.$$;
