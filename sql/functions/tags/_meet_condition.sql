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
AS $$
#variable_conflict use_column
DECLARE
  after_position bigint;
  known_positions bigint[];
  tag text;
  tag_keys bigint[];
  item_keys integer[];
  lock_keys integer[];
  lock_key integer;
  newer bigint;
BEGIN
  IF condition IS NOT NULL THEN
    PERFORM _refuse_query('condition', condition);
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      PERFORM _refuse_isolation();
    END IF;
    -- Numbers that a bigint holds.
    IF (
      decided_upon ~ '^[0-8]?[0-9]{1,18}[+]([0-8]?[0-9]{1,18}(,[0-8]?[0-9]{1,18})*)?$'
    ) IS NOT TRUE THEN
      PERFORM _refuse_value(
        'decided_upon', 'must be what read_tagged answered', to_jsonb(decided_upon)
      );
    END IF;
    after_position := split_part(decided_upon, '+', 1)::bigint;
    IF right(decided_upon, 1) <> '+' THEN
      known_positions := string_to_array(split_part(decided_upon, '+', 2), ',')::bigint[];
    END IF;
    -- The last one is the highest, as read_tagged orders them.
    IF _is_open()
      AND greatest(after_position, known_positions[cardinality(known_positions)])
        > _drawn_position()
    THEN
      PERFORM _refuse_position(
        greatest(after_position, known_positions[cardinality(known_positions)])
      );
    END IF;
    FOR i IN 0..jsonb_array_length(condition) - 1 LOOP
      tag := condition -> i -> 'tags' ->> 0;
      item_keys := item_keys || hashtext(tag COLLATE "C");
      tag_keys := tag_keys || _tag_key(tag);
    END LOOP;
  ELSIF decided_upon IS NOT NULL THEN
    PERFORM _refuse_argument('condition', 'must be given with decided_upon');
  END IF;

  -- In the order of their keys, each once and in the stronger mode, so that no two calls deadlock.
  -- Usually the items ask for the one or two tags of the message. The key of a single tag is there
  -- twice, which does no harm: the call has it then.
  lock_keys := ARRAY[
    least(hashtext(written[1] COLLATE "C"), hashtext(written[2] COLLATE "C")),
    greatest(hashtext(written[1] COLLATE "C"), hashtext(written[2] COLLATE "C"))
  ];
  IF (cardinality(written) <= 2 AND item_keys <@ lock_keys) IS NOT TRUE THEN
    lock_keys := ARRAY(
      SELECT k.key
      FROM (
        SELECT hashtext(w.tag COLLATE "C") FROM unnest(written) AS w (tag)
        UNION ALL
        SELECT unnest(item_keys)
      ) AS k (key)
      GROUP BY 1
      ORDER BY 1
    );
  END IF;
  FOREACH lock_key IN ARRAY lock_keys LOOP
    IF (lock_key = ANY (item_keys)) IS NOT TRUE THEN
      PERFORM pg_advisory_xact_lock_shared(_tag_lock_class(), lock_key);
    ELSIF NOT pg_try_advisory_xact_lock(_tag_lock_class(), lock_key) THEN
      -- Another call holds it, and probably writes the message in the way. Wait in shared mode, so
      -- that all calls that wait look at once and leave. In the queue for the exclusive mode they
      -- would look one by one, in front of the next call that can succeed: 32 callers would have a
      -- tenth fewer decisions. The block is rolled back, so it does not keep the lock.
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
  -- Mostly nothing has come. To see that takes a fifth of the time of a look at messages.
  PERFORM
  FROM message_tags AS t
  WHERE t.tag_key = ANY (tag_keys) AND t.global_position > after_position
  LIMIT 1;
  IF FOUND THEN
    RETURN _first_match(condition, after_position, known_positions);
  END IF;
  RETURN NULL;
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
