-- breaking: no
-- What keeps a store safe where rights were lost, and what makes its tables refuse wrong rows.
SET LOCAL lock_timeout = '10s';

-- A reader begins after position 0: it would never get a message there, or before. Not valid: a
-- message that is there already is for verify_store to name, and no upgrade reads all messages.
ALTER TABLE messages
  ADD CONSTRAINT messages_global_position_check CHECK (global_position > 0) NOT VALID;
