CREATE OR REPLACE FUNCTION _last_visible(
  up_to_position bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN coalesce(
    (
      SELECT m.global_position
      FROM messages AS m
      WHERE m.global_position <= up_to_position
      ORDER BY m.global_position DESC
      LIMIT 1
    ),
    0
  );
END
$$;

COMMENT ON FUNCTION _last_visible(bigint) IS
$$Internal: return the position of the last message that the snapshot sees up to a position; 0 if
there is none. Positions beyond it that were drawn and rolled back are not durable: after a
crash the sequence gives them again, and a reader that had stored one would skip a message.$$;
