-- Begins what every installation and upgrade applies again. Each migration before it has set a time
-- limit of its own. These files change no table: an upgrade that waits for a lock here gives up
-- soon.
SET LOCAL lock_timeout = '3s';

-- Internal functions that these files no longer have, or have with other parameters. Here, because
-- migrations tell releases apart, and a store that no release has installed can have them too. Only
-- bodies of PL/pgSQL called them: the server refuses to drop what another function depends on.
DROP FUNCTION IF EXISTS
  _begin_lease(subscriptions, subscription_partitions, bigint, text, interval, bigint, bigint),
  _range_of_stream, _refuse_missing_index, _window_end;
