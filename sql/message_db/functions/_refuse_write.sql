CREATE OR REPLACE FUNCTION message_store._refuse_write(
  id varchar,
  stream_name varchar,
  "type" varchar,
  expected_version bigint
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  given uuid;
  at_version bigint;
  missing text;
BEGIN
  -- Tell nothing about a stream to a role that may not write to it.
  -- Looked up at each call: an upgrade may replace the function while this session has a plan.
  IF has_function_privilege(_acting_role(), to_regproc('write_message'), 'EXECUTE') IS NOT TRUE THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format(
        'role %I may not write to store %I', _acting_role(), message_store._store()
      ),
      HINT = 'grant_access of the store gives a role the right.';
  END IF;
  -- As write_message of the store does. No other transaction changes the stream from here until
  -- this one ends, so the answers below are still true when the message is written.
  PERFORM pg_advisory_xact_lock(_stream_lock_class(), hashtext(stream_name COLLATE "C"));
  IF _writers_restricted() THEN
    PERFORM _refuse_target(stream_name, NULL);
  END IF;

  -- In Message DB's order: of several errors, a client gets the same one.
  IF expected_version IS NOT NULL THEN
    at_version := stream_version(stream_name);
    IF expected_version <> at_version - 1 THEN
      RAISE EXCEPTION USING
        ERRCODE = 'raise_exception',
        MESSAGE = format(
          'Wrong expected version: %s (Stream: %s, Stream Version: %s)',
          expected_version, coalesce(stream_name, '<NULL>'), at_version - 1
        );
    END IF;
  END IF;
  given := id::uuid;
  missing := CASE
    WHEN stream_name IS NULL THEN 'stream_name'
    WHEN type IS NULL THEN 'type'
    WHEN given IS NULL THEN 'id'
  END;
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION USING
      ERRCODE = 'not_null_violation',
      MESSAGE = format(
        'null value in column "%s" of relation "messages" violates not-null constraint', missing
      ),
      SCHEMA = 'message_store', TABLE = 'messages', COLUMN = missing;
  END IF;
  -- The store takes a repeated write for the same one, and gives the first answer again.
  IF EXISTS (SELECT FROM messages AS m WHERE m.message_id = given) THEN
    RAISE EXCEPTION USING
      ERRCODE = 'unique_violation',
      MESSAGE = 'duplicate key value violates unique constraint "messages_id"',
      DETAIL = format('Key (id)=(%s) already exists.', given),
      SCHEMA = 'message_store', TABLE = 'messages', CONSTRAINT = 'messages_id';
  END IF;
END
$$;

COMMENT ON FUNCTION message_store._refuse_write(varchar, varchar, varchar, bigint) IS
$$Internal: lock the stream until the transaction ends, and raise what Message DB raises for this
write: P0001 for another version, 22P02 for an id that is no UUID, 23502 for a NULL, 23505 for an id
that is used. Raises 42501 if the role may not write to the stream.$$;
