CREATE OR REPLACE FUNCTION store_statistics(
  OUT safe_position bigint,
  OUT last_position bigint,
  OUT in_flight boolean,
  OUT streams_estimate bigint,
  OUT messages_estimate bigint,
  OUT dead_messages bigint,
  OUT table_bytes bigint,
  OUT index_bytes bigint,
  OUT subscriptions bigint,
  OUT parked_messages bigint,
  OUT last_vacuum_at timestamptz,
  OUT oldest_writer_started_at timestamptz,
  OUT oldest_writer_pid integer,
  OUT oldest_writer_prepared text
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  store oid := quote_ident(current_schema())::regnamespace::oid;
BEGIN
  -- First the view, then tables, as an upgrade locks them.
  SELECT w.since, w.pid, w.prepared_transaction
  INTO oldest_writer_started_at, oldest_writer_pid, oldest_writer_prepared
  FROM writers_in_flight AS w
  ORDER BY w.since
  LIMIT 1;
  -- On a standby horizon() raises MS005 if none was published.
  IF NOT pg_is_in_recovery() OR horizon_age() IS NOT NULL THEN
    SELECT h.safe_position, h.in_flight INTO safe_position, in_flight FROM horizon() AS h;
  END IF;
  last_position := last_position();

  -- The estimates of autovacuum and ANALYZE: -1 before their first run.
  SELECT
    max(greatest(c.reltuples, 0)::bigint) FILTER (WHERE c.relname = 'streams'),
    max(greatest(c.reltuples, 0)::bigint) FILTER (WHERE c.relname = 'messages'),
    sum(pg_table_size(c.oid))::bigint,
    sum(pg_indexes_size(c.oid))::bigint
  INTO streams_estimate, messages_estimate, table_bytes, index_bytes
  FROM pg_class AS c
  WHERE c.relnamespace = store AND c.relkind = 'r';
  SELECT t.n_dead_tup, greatest(t.last_vacuum, t.last_autovacuum)
  INTO dead_messages, last_vacuum_at
  FROM pg_stat_all_tables AS t
  WHERE t.relid = (
    SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = store AND c.relname = 'messages'
  );

  SELECT count(*), coalesce(sum(k.parked), 0)::bigint INTO subscriptions, parked_messages
  FROM count_parked() AS k;
END
$$;

COMMENT ON FUNCTION store_statistics() IS
$$Return one row about the store, cheap enough for every few seconds: safe and last position,
whether a transaction that writes is open, and when the first of these began. The numbers of streams
and messages are estimates of the last ANALYZE. Bytes of tables include TOAST. Further columns count
dead messages that wait for vacuum, subscriptions, and parked messages. A role that may not see
other roles' sessions (pg_read_all_stats) gets no time of theirs. On a standby, safe_position is the
published horizon, in_flight is NULL, and last_position is that of the last message it has.$$;
