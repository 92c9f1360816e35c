CREATE OR REPLACE FUNCTION fall_asleep(
  backend_pid integer DEFAULT NULL,
  OUT safe_position bigint,
  OUT in_flight boolean
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
-- A writer holds a bell key for an instant only. A session that holds one for longer is hostile or
-- broken: raise 55P03 instead of waiting for it.
SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
BEGIN
  PERFORM _refuse_session(fall_asleep.backend_pid);
  -- First the bell, then the look: a writer takes its mark first and tests the bell then, so one of
  -- the two sees the other. Every key, because a writer tests one of them. For the transaction
  -- first: an error, here or in the look, gives the keys back.
  PERFORM pg_advisory_xact_lock_shared(_bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
  SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
  -- A writer that tested the bell before may have taken its position and have ended between the two
  -- looks of horizon(): its message is above safe_position, and no notification was sent.
  in_flight := in_flight OR _drawn_position() > safe_position;
  -- For the session then, without a wait: the transaction holds them.
  PERFORM pg_advisory_lock_shared(_bell_lock_class(), k.key)
  FROM generate_series(0, 15) AS k (key);
END
$$;

COMMENT ON FUNCTION fall_asleep(integer) IS
$$Announce that this session waits for a notification, and look once more. Call it in a reader that
has caught up, on a connection of its own, after LISTEN on wake_channel() there or on another
connection. Until wake_up the session must not write: its own writes notify nobody. If safe_position
is beyond the reader's position, call wake_up() and read. If in_flight is true, call wake_up() and
look again after some milliseconds. Otherwise wait for a notification, with a long time-out, then
call wake_up() and read. The announcement belongs to the session and ends with it. A pooler may give
the session to others: make sure first that a notification of another session reaches a connection
that listens. Pass the pg_backend_pid() of this session: 55000 is raised in another one. Raises
55P03 if another session holds a bell key for a second; then nothing is announced.$$;
