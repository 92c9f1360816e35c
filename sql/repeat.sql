-- Begins what every installation and upgrade applies again. Each migration before it has set a time
-- limit of its own. These files change no table: an upgrade that waits for a lock here gives up
-- soon.
SET LOCAL lock_timeout = '3s';
