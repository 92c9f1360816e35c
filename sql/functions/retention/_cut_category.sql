CREATE OR REPLACE FUNCTION _cut_category(
  policy retention_policies,
  up_to_position bigint,
  max_messages bigint,
  OUT deleted bigint,
  OUT more boolean,
  OUT busy_stream text
)
RETURNS record
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
-- A plan that was made when the tables were small would walk along them to delete. No LIMIT keeps
-- a DELETE one look-up for each row.
SET plan_cache_mode = force_custom_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  -- max_age NULL: nothing expires by age.
  expires_before timestamptz := coalesce(clock_timestamp() - policy.max_age, '-infinity');
  batch record;
  tag_keys bigint[];
  tagged bigint[];
BEGIN
  WITH oldest AS MATERIALIZED (
    SELECT
      m.global_position, m.stream_id, m.version, s.stream,
      m.added_at < expires_before OR coalesce(m.global_position <= policy.keep_after, false)
        AS expired
    FROM messages AS m
    CROSS JOIN LATERAL _stream_of(m.stream_id) AS s
    -- Rows are compared as in _range_of_category.
    WHERE (m.category_key, m.global_position)
        > (_category_key(policy.category), policy.reached_position)
      AND (m.category_key, m.global_position) <= (_category_key(policy.category), up_to_position)
      AND s.category = policy.category
    ORDER BY m.category_key, m.global_position
    LIMIT max_messages
  ),
  -- In each stream only what comes before the first message that stays.
  prefixes AS MATERIALIZED (
    SELECT o.stream_id, o.stream, min(o.version) FILTER (WHERE NOT o.expired) AS stop,
      min(o.global_position) AS first_position
    FROM oldest AS o
    GROUP BY o.stream_id, o.stream
    HAVING min(o.version) FILTER (WHERE NOT o.expired) IS DISTINCT FROM min(o.version)
  ),
  -- The lock of the stream's writers: none of them computes a version while the stream's last
  -- message is deleted. A stream that another transaction has locked is left for another call.
  tried AS MATERIALIZED (
    SELECT
      p.stream_id, p.stream, p.stop, p.first_position,
      pg_try_advisory_xact_lock(_stream_lock_class(), hashtext(p.stream COLLATE "C")) AS free
    FROM prefixes AS p
  ),
  judged AS MATERIALIZED (
    SELECT
      o.global_position, o.stream_id, o.version, o.expired,
      coalesce(
        (
          SELECT t.free AND (t.stop IS NULL OR o.version < t.stop)
          FROM tried AS t
          WHERE t.stream_id = o.stream_id
        ),
        false
      ) AS goes
    FROM oldest AS o
  )
  SELECT
    count(*) AS seen,
    max(j.global_position) AS last_position,
    max(j.global_position) FILTER (WHERE j.expired) AS last_expired,
    min(j.global_position) FILTER (WHERE NOT j.goes) AS first_kept,
    array_agg(j.global_position ORDER BY j.global_position) FILTER (WHERE j.goes) AS positions,
    array_agg(j.stream_id ORDER BY j.global_position) FILTER (WHERE j.goes) AS stream_ids,
    array_agg(j.version ORDER BY j.global_position) FILTER (WHERE j.goes) AS versions,
    (SELECT t.stream FROM tried AS t WHERE NOT t.free ORDER BY t.first_position LIMIT 1) AS busy
  INTO batch
  FROM judged AS j;

  IF batch.positions IS NOT NULL THEN
    LOCK TABLE messages, streams IN ROW EXCLUSIVE MODE;  -- as in _cut_stream
    BEGIN
      PERFORM _forget_errors(batch.positions);
    EXCEPTION
      -- Another transaction holds a row with an error, which may quote its message: to delete the
      -- message now would leave the error there for good.
      WHEN object_in_use THEN
        deleted := 0;
        more := true;
        RETURN;
    END;
  END IF;
  WITH gone AS (
    DELETE FROM messages AS m
    USING unnest(batch.positions) AS u (global_position)
    WHERE m.global_position = u.global_position
    RETURNING m.global_position, m.tags
  ),
  keys AS (
    SELECT DISTINCT _tag_key(u.tag) AS tag_key, g.global_position
    FROM gone AS g
    CROSS JOIN unnest(g.tags) AS u (tag)
  )
  SELECT (SELECT count(*) FROM gone), array_agg(k.tag_key), array_agg(k.global_position)
  INTO deleted, tag_keys, tagged
  FROM keys AS k;
  PERFORM _drop_tag_rows(tag_keys, tagged);

  UPDATE streams AS s
  SET floor = f.version
  FROM (
    SELECT u.stream_id, max(u.version) AS version
    FROM unnest(batch.stream_ids, batch.versions) AS u (stream_id, version)
    GROUP BY u.stream_id
  ) AS f
  WHERE s.stream_id = f.stream_id AND s.floor < f.version;
  DELETE FROM snapshots AS n  -- as in _cut_stream
  WHERE n.stream_id = ANY (batch.stream_ids)
    AND n.version < (SELECT s.floor FROM streams AS s WHERE s.stream_id = n.stream_id);

  UPDATE retention_policies AS p
  SET
    keep_after = policy.keep_after,
    reached_position = coalesce(batch.first_kept - 1, batch.last_position, p.reached_position)
  WHERE p.category = policy.category
    AND (p.keep_after, p.reached_position) IS DISTINCT FROM (
      policy.keep_after, coalesce(batch.first_kept - 1, batch.last_position, p.reached_position)
    );

  more := batch.busy IS NOT NULL OR coalesce(
    batch.seen = max_messages
      AND batch.positions IS NOT NULL
      AND batch.last_expired = batch.last_position,
    false
  );
  busy_stream := batch.busy;
END
$$;

COMMENT ON FUNCTION _cut_category(retention_policies, bigint, bigint) IS
$$Internal: delete what has expired among the oldest messages of a category, except in streams that
somebody writes to, the first of which is busy_stream. Deletes nothing while another transaction has
locked the error of one of these messages. The caller has locked the policy.$$;
