CREATE OR REPLACE FUNCTION message_store.write_message(
  id varchar,
  stream_name varchar,
  "type" varchar,
  data jsonb,
  metadata jsonb DEFAULT NULL,
  expected_version bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  PERFORM message_store._refuse_write(id, stream_name, type, expected_version);
  -- The caller's rights, not the owner's, decide whether it may write.
  RETURN (
    SELECT w.version - 1
    FROM write_message(
      stream_name, type, coalesce(data, 'null'), nullif(metadata, 'null'), expected_version + 1,
      id::uuid
    ) AS w
  );
END
$$;

COMMENT ON FUNCTION message_store.write_message(varchar, varchar, varchar, jsonb, jsonb, bigint) IS
$$Write a message to a stream; return its position, 0 for the first. expected_version NULL writes in
any case, -1 only to an empty stream, n only if the last message is at position n. Locks the stream
until the transaction ends, not its category. Raises P0001, Wrong expected version, if the stream is
at another one; 23505 if the id is used, also by the same message; 23502 if a stream's name, a type
or an id is NULL. Otherwise as the store's write_message, so MS002 if another transaction has
meanwhile used the id in another stream.$$;
