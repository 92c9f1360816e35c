-- breaking: no
-- Sleepers tell which session is theirs.
SET LOCAL lock_timeout = '3s';

-- They take a parameter now.
DROP FUNCTION IF EXISTS fall_asleep();
DROP FUNCTION IF EXISTS wake_up();
