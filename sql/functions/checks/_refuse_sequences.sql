CREATE OR REPLACE FUNCTION _refuse_sequences()
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  behind record;
BEGIN
  SELECT l.sequence, l.last_value, l.highest INTO behind
  FROM list_sequences() AS l
  WHERE _is_open() AND l.last_value < l.highest
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING
      ERRCODE = 'MS007',
      MESSAGE = format(
        'sequence %s is at %s, but the store holds %s', behind.sequence, behind.last_value,
        behind.highest
      ),
      DETAIL = json_build_object(
        'sequence', behind.sequence, 'last_value', behind.last_value, 'highest', behind.highest
      )::text,
      HINT = 'The tables were copied without their sequences, or a sequence was set back. The '
        'store''s owner calls repair_sequences(); until then every further try fails. Nothing was '
        'stored.';
  END IF;
END
$$;

COMMENT ON FUNCTION _refuse_sequences() IS
$$Internal: raise MS007 if a sequence of the store is behind the numbers that are stored. Without
it, a caller that meets a number in use would get an error that says to try again, for as many tries
as there are numbers.$$;
