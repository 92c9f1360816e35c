CREATE OR REPLACE FUNCTION _message_at(
  global_position bigint
)
RETURNS SETOF messages
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  -- LIMIT keeps this one look-up, whatever the planner thinks of the sizes. A range in order,
  -- because only the key's index has that order: for = the planner may skip along the index of
  -- categories (tests/plans).
  SELECT m.*
  FROM messages AS m
  WHERE m.global_position >= _message_at.global_position
    AND m.global_position <= _message_at.global_position
  ORDER BY m.global_position
  LIMIT 1;
END;

COMMENT ON FUNCTION _message_at(bigint) IS
$$Internal: return the row of the message at a global position; none if there is none. Inlined into
its callers, hence without settings of its own.$$;
