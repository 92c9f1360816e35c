CREATE OR REPLACE FUNCTION _subscription_health()
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
BEGIN
  RETURN QUERY
  SELECT
    'subscription_stopped',
    CASE WHEN count(*) FILTER (WHERE l.state = 'stopped') > 0 THEN 'fail' ELSE 'ok' END,
    coalesce(
      string_agg(
        DISTINCT l.subscription || '/' || l.partition, ', '
      ) FILTER (WHERE l.state = 'stopped'),
      'none'
    ),
    'list_partitions() shows the error. Mend the handler, then resume_subscription.'
  FROM list_partitions() AS l
  UNION ALL
  SELECT
    'subscription_paused',
    CASE WHEN count(*) FILTER (WHERE l.state = 'paused') > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(string_agg(DISTINCT l.subscription, ', ') FILTER (WHERE l.state = 'paused'), 'none'),
    'resume_subscription lets it go on.'
  FROM list_partitions() AS l
  UNION ALL
  SELECT
    'subscription_behind',
    CASE WHEN count(*) FILTER (WHERE l.behind > 100000) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(
        DISTINCT format('%s: %s', l.subscription, l.behind), ', '
      ) FILTER (WHERE l.behind > 100000),
      'none by more than 100000'
    ),
    'See whether its workers run. More of them, or more partitions, handle more.'
  FROM list_partitions() AS l
  UNION ALL
  SELECT
    'subscription_stuck',
    CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(
        format('%s/%s: %s leases at %s', k.subscription, k.partition, k.leases_since, k.checkpoint),
        ', '
      ),
      'none'
    ),
    'The checkpoint has not moved over several leases. list_partitions() shows who works on it and '
      'the last error; see why its workers end, and which message comes after the checkpoint.'
  FROM list_stuck() AS k
  UNION ALL
  SELECT
    'parked_messages',
    CASE WHEN sum(k.parked) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(
      string_agg(format('%s: %s', k.subscription, k.parked), ', ') FILTER (WHERE k.parked > 0),
      'none'
    ),
    'list_parked shows the errors. Mend the handler, then replay_parked, or drop_parked.'
  FROM count_parked() AS k
  UNION ALL
  SELECT
    'scheduled_messages',
    CASE WHEN c.overdue > 0 THEN 'warn' ELSE 'ok' END,
    format('%s scheduled, %s overdue', c.scheduled, c.overdue),
    'They have been due for more than a minute: see whether a process runs that calls '
      'deliver_scheduled, and which transactions hold their streams.'
  FROM count_scheduled() AS c
  UNION ALL
  SELECT
    'retention_waits',
    CASE WHEN count(*) FILTER (WHERE r.waits) > 0 THEN 'warn' ELSE 'ok' END,
    coalesce(string_agg(r.category, ', ') FILTER (WHERE r.waits), 'none'),
    'A subscription has not handled messages whose time is over. Let it catch up or drop it, or '
      'set keep_unhandled to false.'
  FROM list_retention() AS r;
END
$$;

COMMENT ON FUNCTION _subscription_health() IS
$$Internal: the part of health that is about subscriptions and retention.$$;
