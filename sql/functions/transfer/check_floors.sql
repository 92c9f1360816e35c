CREATE OR REPLACE FUNCTION check_floors(
  streams text[],
  floors bigint[],
  reached_versions bigint[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_stranger('check_floors');
  PERFORM _refuse_sequences();
  PERFORM _refuse_floors(streams, floors, reached_versions);
END
$$;

COMMENT ON FUNCTION check_floors(text[], bigint[], bigint[]) IS
$$Raise what import_floors would raise for these floors, and write nothing. reached_versions, as in
check_messages.$$;
