CREATE OR REPLACE FUNCTION import_times(
  added_at text[]
)
RETURNS timestamptz[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  times timestamptz[];
BEGIN
  PERFORM _refuse_stranger('import_times');

  -- A text without an offset, or such as today, is another time in another session.
  SELECT u.n - 1 AS index, left(u.moment, 50) AS given INTO bad
  FROM unnest(added_at) WITH ORDINALITY AS u (moment, n)
  WHERE (
    u.moment ~ (
      '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?'
      '(Z|[+-][0-9]{2}(:?[0-9]{2}(:?[0-9]{2})?)?)$'
    )
  ) IS NOT TRUE
  ORDER BY u.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      'added_at',
      format(
        'must be a time with its offset, such as 2026-01-02T03:04:05.678901Z, not %L', bad.given
      ),
      jsonb_build_object('index', bad.index)
    );
  END IF;
  times := added_at::timestamptz[];
  SELECT u.n - 1 AS index, u.moment INTO bad
  FROM unnest(times) WITH ORDINALITY AS u (moment, n)
  WHERE NOT _time_fits(u.moment)
  ORDER BY u.n
  LIMIT 1;
  IF FOUND THEN
    PERFORM _refuse_argument(
      'added_at', 'must be between 0001-01-02 and 9999-12-30, in UTC',
      jsonb_build_object('index', bad.index, 'added_at', bad.moment)
    );
  END IF;
  RETURN times;
END
$$;

COMMENT ON FUNCTION import_times(text[]) IS
$$Read the times of messages for import_messages: absolute ones, in ISO 8601 with an offset or Z,
between 0001-01-02 and 9999-12-30 in UTC. Every client can read them in every time zone. Other forms
that PostgreSQL takes are refused: now, infinity, 44-03-15 BC, a time without an offset. Raises
22023 for the first refused one; DETAIL has its index, from 0.$$;
