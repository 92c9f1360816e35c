CREATE OR REPLACE FUNCTION health()
RETURNS TABLE (
  name text,
  status text,
  value text,
  remedy text
)
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
  RETURN QUERY
  SELECT
    'writers_in_flight',
    CASE
      WHEN min(w.since) < clock_timestamp() - interval '5 minutes' THEN 'fail'
      WHEN min(w.since) < clock_timestamp() - interval '30 seconds' THEN 'warn'
      ELSE 'ok'
    END,
    coalesce(
      CASE WHEN pg_is_in_recovery() THEN 'not known on a standby' END,
      string_agg(
        format('%s since %s', coalesce('pid ' || w.pid, w.prepared_transaction), w.since), ', '
        ORDER BY w.since
      ) FILTER (WHERE w.since < clock_timestamp() - interval '30 seconds'),
      'none for more than 30 seconds'
    ),
    'Readers across streams stop before what it may still write: end it with '
      'pg_terminate_backend, COMMIT PREPARED or ROLLBACK PREPARED, and see who leaves transactions '
      'open.'
  FROM writers_in_flight AS w;

  RETURN QUERY
  SELECT
    'foreign_locks',
    CASE WHEN count(*) > 0 THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(
        format('%s of %s: %s', f.session, f.role, f.keys), ', ' ORDER BY f.session
      ),
      'none'
    ),
    'It holds back readers (mark), writers (stream), what waits for new messages (bell), or grants '
      'and installations (installer), and is none of the store''s: end it with '
      'pg_terminate_backend, and see who may connect: REVOKE CONNECT ON DATABASE … FROM PUBLIC.'
  FROM (
    SELECT g.session, g.role, string_agg(g.key, ' and ' ORDER BY g.key) AS keys
    FROM _foreign_locks() AS g
    GROUP BY g.session, g.role
  ) AS f;

  RETURN QUERY
  SELECT
    'sequences',
    CASE WHEN count(*) > 0 THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(format('%s is at %s, %s is stored', l.sequence, l.last_value, l.highest), '; '),
      'none is behind'
    ),
    'Tables were copied without their sequences, or a sequence was set back: keep writers out, and '
      'let the owner call repair_sequences().'
  FROM list_sequences() AS l
  WHERE l.last_value < l.highest;

  RETURN QUERY
  SELECT
    'published_horizon',
    CASE
      WHEN a.age > interval '30 seconds' OR a.age IS NULL AND pg_is_in_recovery() THEN 'warn'
      ELSE 'ok'
    END,
    coalesce(extract(epoch FROM a.age)::bigint || ' seconds old', 'none was published'),
    'Readers on standbys stop there: run pgstore publish, or store.run with publish=True, and see '
      'whether the standby follows its primary.'
  FROM (SELECT horizon_age() AS age) AS a;

  RETURN QUERY
  SELECT h.name, h.status, h.value, h.remedy FROM _subscription_health() AS h;

  RETURN QUERY
  SELECT
    'dead_messages',
    CASE
      WHEN t.n_dead_tup > 100000 AND t.n_dead_tup > t.n_live_tup THEN 'fail'
      WHEN t.n_dead_tup > 100000 AND t.n_dead_tup > 0.4 * t.n_live_tup THEN 'warn'
      ELSE 'ok'
    END,
    t.n_dead_tup::text,
    'Deleted messages wait for vacuum: VACUUM the table messages, and see what keeps autovacuum '
      'from it.'
  FROM pg_stat_all_tables AS t
  WHERE t.relid = (
    SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = store AND c.relname = 'messages'
  )
  UNION ALL
  SELECT
    'table_settings',
    CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(string_agg(c.relname, ', '), 'autovacuum is on for every table'),
    'ALTER TABLE … RESET (autovacuum_enabled).'
  FROM pg_class AS c
  WHERE c.relnamespace = store
    AND c.relkind = 'r'
    AND c.reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off'];

  RETURN QUERY
  SELECT h.name, h.status, h.value, h.remedy FROM _server_health() AS h;
END
$$;

COMMENT ON FUNCTION health() IS
$$Return one row for each check of the store and the server: its status (ok, warn, fail), its value,
and a remedy. Cheap enough for every minute. A role that may not see other roles' sessions
(pg_read_all_stats) gets less, and so does a call on a standby.$$;
