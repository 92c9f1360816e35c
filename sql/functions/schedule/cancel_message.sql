CREATE OR REPLACE FUNCTION cancel_message(
  message_id uuid
)
RETURNS boolean
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
  cancelled text;
BEGIN
  IF message_id IS NULL THEN
    PERFORM _refuse_argument('message_id', 'must be the id of a message, not NULL');
  END IF;
  -- Waits for the end of a transaction that delivers it.
  DELETE FROM scheduled_messages AS d
  WHERE _in_store() AND d.message_id = cancel_message.message_id
  RETURNING d.stream INTO cancelled;
  -- Not _refuse_target: do not reveal the stream to a role that may not write to it.
  IF cancelled IS NOT NULL
    AND _writers_restricted()
    AND NOT _may_write(_acting_role(), category(cancelled))
  THEN
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format(
        'role %s may not write to the stream of scheduled message %s', _acting_role(), message_id
      ),
      DETAIL = json_build_object('role', _acting_role(), 'stream', '', 'category', '')::text,
      HINT = 'Nothing was cancelled. grant_access gives a role the right to write, to some '
        'categories or to all.';
  END IF;
  RETURN cancelled IS NOT NULL;
END
$$;

COMMENT ON FUNCTION cancel_message(uuid) IS
$$Forget a scheduled message; return whether it was there: false if it was delivered or never
scheduled. Raises 22023 for a bad argument; 42501, which does not name the stream, if the role may
not write to its category.$$;
