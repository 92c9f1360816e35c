CREATE OR REPLACE FUNCTION check_messages(
  streams text[],
  versions bigint[],
  types text[],
  data jsonb[],
  metadata jsonb[],
  message_ids uuid[],
  added_at timestamptz[],
  reached_versions bigint[] DEFAULT NULL,
  tags jsonb[] DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  wanted bigint[];
BEGIN
  PERFORM _refuse_stranger('check_messages');
  PERFORM _refuse_import(
    streams, versions, types, data, metadata, message_ids, added_at, NULL, tags
  );
  IF cardinality(reached_versions) <> cardinality(streams) THEN
    PERFORM _refuse_argument('messages', 'must be arrays of the same length');
  END IF;
  PERFORM _refuse_sequences();
  wanted := _import_rest(
    streams, versions, types, data, metadata, message_ids, reached_versions, tags
  );
  RETURN (cardinality(streams) - cardinality(wanted))::bigint;
END
$$;

COMMENT ON FUNCTION check_messages(
  text[], bigint[], text[], jsonb[], jsonb[], uuid[], timestamptz[], bigint[], jsonb[]
) IS
$$Raise what import_messages would raise for these messages with new positions; return how many are
stored already. It writes nothing, and no writer waits for it. To check several batches, pass as
reached_versions the version that the batches before bring each message's stream to, one element a
message; NULL, or a version below that of the store: the stream is as it is stored. An id that two
batches use is not found.$$;
