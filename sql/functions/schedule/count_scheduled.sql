CREATE OR REPLACE FUNCTION count_scheduled(
  OUT scheduled bigint,
  OUT overdue bigint,
  OUT next_due_at timestamptz
)
RETURNS record
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  SELECT
    count(*), count(*) FILTER (WHERE d.due_at < clock_timestamp() - interval '1 minute'),
    min(d.due_at)
  INTO scheduled, overdue, next_due_at
  FROM scheduled_messages AS d
  WHERE _is_open();
END
$$;

COMMENT ON FUNCTION count_scheduled() IS
$$Return how many messages are scheduled, how many of them have been due for more than a minute, and
when the next one is due, or was.$$;
