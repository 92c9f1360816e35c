CREATE OR REPLACE FUNCTION skip_positions(
  positions bigint DEFAULT 1000000
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  drawn record;
BEGIN
  PERFORM _refuse_stranger('skip_positions');
  IF (positions BETWEEN 1 AND 1000000000000) IS NOT TRUE THEN
    PERFORM _refuse_value('positions', 'must be between 1 and 1000000000000', to_jsonb(positions));
  END IF;
  -- One of these at a time: with two, the later setval could set the sequence back behind positions
  -- that writers drew after the first.
  PERFORM _lock_rights();
  SELECT l.last_value, l.highest INTO drawn
  FROM list_sequences() AS l
  WHERE l.sequence = 'global_position_seq';
  IF positions <= 100000 AND drawn.last_value >= drawn.highest THEN
    -- One by one: writers can draw more than a few between the look at the last position and
    -- setval, which would then set the sequence back, and give theirs again.
    RETURN (
      SELECT max(nextval('global_position_seq')) FROM generate_series(1, skip_positions.positions)
    );
  END IF;
  RETURN setval(
    'global_position_seq', greatest(drawn.last_value, drawn.highest) + skip_positions.positions
  );
END
$$;

COMMENT ON FUNCTION skip_positions(bigint) IS
$$Set the sequence of global positions ahead by so many, and return its new last position. Call it
on the server that takes over after an asynchronous failover, before writers connect. Then no new
message gets a position that the lost server may have given to another message, so a reader of those
skips none of the new ones. If the sequence is behind (MS007), count from the highest stored
position. Raises 22023 for a bad argument.$$;
