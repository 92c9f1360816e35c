CREATE OR REPLACE FUNCTION position_before(
  moment timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
STRICT
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  low bigint := bigint '0';
  high bigint := (horizon()).safe_position;
  middle bigint;
  probe record;
BEGIN
  -- Times rise with positions, except where writers overtook one another: bisect, then look back.
  WHILE low < high LOOP
    middle := (low + high) / 2;
    SELECT m.global_position, m.added_at INTO probe
    FROM messages AS m
    WHERE m.global_position > middle
    ORDER BY m.global_position
    LIMIT 1;
    IF probe.added_at < moment AND probe.global_position <= high THEN
      low := probe.global_position;
    ELSE
      high := middle;
    END IF;
  END LOOP;
  RETURN least(
    low,
    (
      SELECT m.global_position - 1
      FROM messages AS m
      WHERE m.global_position > low - 10000
        AND m.global_position <= low
        AND m.added_at >= moment
      ORDER BY m.global_position
      LIMIT 1
    )
  );
END
$$;

COMMENT ON FUNCTION position_before(timestamptz) IS
$$Return the global position after which all messages added at moment or later are. A few that are a
little older can be after it too, where writers overtook one another. Imported messages have the
times of the store they come from. Where these are older than messages before them, or newer than
messages after them, no position divides them by time. The answer is then a position at which the
times pass moment; give a position instead of a time.$$;
