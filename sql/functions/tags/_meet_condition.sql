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
AS $$
#variable_conflict use_column
DECLARE
  after_position bigint;
  known_positions bigint[];
  lock_key integer;
  looked_for boolean;
  newer bigint;
BEGIN
  IF condition IS NOT NULL THEN
    PERFORM _refuse_query('condition', condition);
    PERFORM _refuse_isolation();
    -- Numbers that a bigint holds.
    IF (
      decided_upon ~ '^[0-8]?[0-9]{1,18}[+]([0-8]?[0-9]{1,18}(,[0-8]?[0-9]{1,18})*)?$'
    ) IS NOT TRUE THEN
      PERFORM _refuse_value(
        'decided_upon', 'must be what read_tagged answered', to_jsonb(decided_upon)
      );
    END IF;
    after_position := split_part(decided_upon, '+', 1)::bigint;
    known_positions := string_to_array(split_part(decided_upon, '+', 2), ',')::bigint[];
    -- The last one is the highest, as read_tagged orders them.
    IF greatest(after_position, known_positions[cardinality(known_positions)]) > _drawn_position()
    THEN
      PERFORM _refuse_position(
        greatest(after_position, known_positions[cardinality(known_positions)])
      );
    END IF;
  ELSIF decided_upon IS NOT NULL THEN
    PERFORM _refuse_argument('condition', 'must be given with decided_upon');
  END IF;

  -- In the order of their keys, each once and in the stronger mode, so that no two calls deadlock.
  FOR lock_key, looked_for IN
    SELECT hashtext(t.tag COLLATE "C"), bool_or(t.looked_for)
    FROM (
      SELECT w.tag, false AS looked_for FROM unnest(written) AS w (tag)
      UNION ALL
      SELECT i.item -> 'tags' ->> 0, true FROM jsonb_array_elements(condition) AS i (item)
    ) AS t
    GROUP BY 1
    ORDER BY 1
  LOOP
    IF NOT looked_for THEN
      PERFORM pg_advisory_xact_lock_shared(_tag_lock_class(), lock_key);
    ELSIF NOT pg_try_advisory_xact_lock(_tag_lock_class(), lock_key) THEN
      -- Another call holds it, and probably writes the message in the way. Wait in shared mode, so
      -- that all calls that wait look at once and leave. In the queue for the exclusive mode they
      -- would look one by one, in front of the next call that can succeed: with 32 callers that
      -- takes twice as long. The block is rolled back, so it does not keep the lock.
      BEGIN
        PERFORM pg_advisory_xact_lock_shared(_tag_lock_class(), lock_key);
        RAISE raise_exception;
      EXCEPTION
        WHEN raise_exception THEN
          NULL;
      END;
      newer := _first_match(condition, after_position, known_positions);
      IF newer IS NOT NULL THEN
        RETURN newer;
      END IF;
      PERFORM pg_advisory_xact_lock(_tag_lock_class(), lock_key);
    END IF;
  END LOOP;
  IF condition IS NULL THEN
    RETURN NULL;
  END IF;
  -- An import keeps writers out of the table, instead of the locks of its messages' tags.
  LOCK TABLE messages IN ROW EXCLUSIVE MODE;
  RETURN _first_match(condition, after_position, known_positions);
END
$$;

COMMENT ON FUNCTION _meet_condition(text[], jsonb, text) IS
$$Internal: lock tags until the transaction ends: those of messages that are written in shared mode;
the first one of each item of a condition in exclusive mode, so that no message that could match is
in flight. Then return the position of the first message that matches the condition and that the
decision did not know, or NULL. If another call holds a tag, it looks before it locks too, and does
not lock if there is such a message. Called with the settings of write_message, after the lock of
the stream. Raises 22023 for a condition or a token that is wrong; MS004 for a condition unless
under READ COMMITTED; MS006 if the decision is from another history.$$;
