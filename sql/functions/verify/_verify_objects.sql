CREATE OR REPLACE FUNCTION _verify_objects()
RETURNS TABLE (
  check_name text,
  checked bigint,
  wrong bigint,
  example text
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
  store oid := (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = current_schema());
BEGIN
  RETURN QUERY
  SELECT
    text 'unique indexes are there and valid', count(*), count(*) FILTER (WHERE x.wrong),
    min(x.name) FILTER (WHERE x.wrong)
  FROM (
    SELECT
      e.name,
      NOT EXISTS (
        SELECT FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = store AND c.relname = e.name
          AND i.indisunique = e.is_unique AND i.indisvalid AND i.indisready AND i.indislive
          AND i.indpred IS NULL
          AND ARRAY(
            SELECT a.attname::text
            FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            ORDER BY k.place
          ) = e.columns
      ) AS wrong
    FROM (
      SELECT
        concat_ws('_', k.table_name, array_to_string(k.columns, '_'), k.kind) AS name,
        k.kind <> 'idx' AS is_unique, k.columns
      FROM (
        VALUES
          ('streams', '{stream_id}'::text[], 'pkey'),
          ('streams', '{stream}', 'key'),
          ('messages', '{global_position}', 'pkey'),
          ('messages', '{stream_id,version}', 'key'),
          ('messages', '{message_id}', 'key'),
          ('messages', '{category_key,global_position}', 'idx'),
          ('message_tags', '{tag_key,global_position}', 'pkey'),
          ('subscriptions', '{subscription_id}', 'pkey'),
          ('subscriptions', '{subscription}', 'key'),
          ('subscription_partitions', '{subscription_id,partition}', 'pkey'),
          ('subscription_sweeps', '{subscription_id}', 'pkey'),
          ('subscription_heads', '{subscription_id,partition}', 'pkey'),
          ('subscription_heads', '{subscription_id,head}', 'idx'),
          ('subscription_work', '{subscription_id,partition,last_position}', 'pkey'),
          ('audit', '{audit_id}', 'pkey'),
          ('retention_policies', '{category}', 'pkey'),
          ('grants', '{role,kind}', 'pkey'),
          ('scheduled_messages', '{message_id}', 'pkey'),
          ('scheduled_messages', '{due_at,scheduled_position}', 'idx'),
          ('scheduled_messages', '{stream,due_at,scheduled_position}', 'idx'),
          ('snapshots', '{stream_id,snapshot,code_version}', 'pkey'),
          ('stream_changes', '{stream_id}', 'pkey'),
          ('store_horizon', '{safe_position}', 'pkey'),
          ('parked_messages', '{subscription_id,global_position}', 'pkey')
      ) AS k (table_name, columns, kind)
    ) AS e
  ) AS x;

  RETURN QUERY
  SELECT
    text 'tables have no triggers, rules or row security', count(*),
    count(*) FILTER (WHERE t.wrong), min(t.name) FILTER (WHERE t.wrong)
  FROM (
    SELECT
      c.relname::text AS name,
      c.relrowsecurity
      OR EXISTS (
        SELECT FROM pg_trigger AS g
        -- The fence's has a check of its own.
        WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname <> 'store_is_closed'
      )
      OR EXISTS (
        SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'
      ) AS wrong
    FROM pg_class AS c
    WHERE c.relnamespace = store AND c.relkind IN ('r', 'p', 'v')
  ) AS t;

  RETURN QUERY
  SELECT
    text 'everything belongs to the owner of the store', count(*),
    count(*) FILTER (WHERE o.owner <> n.nspowner), min(o.name) FILTER (WHERE o.owner <> n.nspowner)
  FROM pg_namespace AS n
  CROSS JOIN LATERAL (
    SELECT c.relname::text AS name, c.relowner AS owner
    FROM pg_class AS c WHERE c.relnamespace = n.oid
    UNION ALL
    SELECT p.proname, p.proowner FROM pg_proc AS p WHERE p.pronamespace = n.oid
    UNION ALL
    SELECT t.typname, t.typowner FROM pg_type AS t WHERE t.typnamespace = n.oid
  ) AS o
  WHERE n.oid = store;

  RETURN QUERY
  SELECT
    text 'nothing is open to everybody', count(*), count(*) FILTER (WHERE o.open),
    min(o.name) FILTER (WHERE o.open)
  FROM (
    SELECT
      r.name, EXISTS (SELECT FROM aclexplode(r.rights) AS a WHERE a.grantee = 0) AS open
    FROM _list_rights() AS r
  ) AS o;

  RETURN QUERY
  SELECT
    text 'nobody but the owner may write to tables', count(*), count(*) FILTER (WHERE c.wrong),
    min(c.name) FILTER (WHERE c.wrong)
  FROM (
    SELECT
      r.relname::text AS name,
      EXISTS (
        SELECT FROM aclexplode(r.relacl) AS a
        WHERE a.grantee <> r.relowner AND a.privilege_type <> 'SELECT'
      ) OR EXISTS (
        SELECT FROM pg_attribute AS t
        CROSS JOIN aclexplode(t.attacl) AS a
        WHERE t.attrelid = r.oid AND a.grantee <> r.relowner AND a.privilege_type <> 'SELECT'
      ) AS wrong
    FROM pg_class AS r
    WHERE r.relnamespace = store AND r.relkind IN ('r', 'p', 'v', 'S')
  ) AS c;

  RETURN QUERY
  SELECT
    text 'what is for the owner is granted to nobody', count(*), count(*) FILTER (WHERE o.wrong),
    min(o.name) FILTER (WHERE o.wrong)
  FROM (
    SELECT
      n.nspname::text AS name,
      EXISTS (
        SELECT FROM aclexplode(n.nspacl) AS a
        WHERE a.grantee <> n.nspowner AND a.privilege_type = 'CREATE'
      ) AS wrong
    FROM pg_namespace AS n WHERE n.oid = store
    UNION ALL
    SELECT
      p.proname, EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee <> p.proowner)
    FROM pg_proc AS p
    WHERE p.pronamespace = store AND p.proname <> ALL (_granted_names('admin'))
  ) AS o;

  RETURN QUERY
  SELECT
    text 'roles have what was granted to them', count(*), count(*) FILTER (WHERE g.wrong),
    min(format('%s: %s', g.role, g.kind)) FILTER (WHERE g.wrong)
  FROM (
    SELECT
      h.role, h.kind,
      NOT has_schema_privilege(r.oid, store, 'USAGE')
      OR EXISTS (
        SELECT FROM pg_proc AS p
        WHERE p.pronamespace = store AND p.proname = ANY (_granted_names(h.kind))
          AND NOT has_function_privilege(r.oid, p.oid, 'EXECUTE')
      )
      OR EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.relnamespace = store AND c.relname = ANY (_granted_names(h.kind))
          AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')
      ) AS wrong
    FROM grants AS h
    JOIN pg_roles AS r ON r.rolname = h.role
    WHERE _holds_kind(r.oid, h.kind)
  ) AS g;

  -- Rights on the schema, on functions and to read views; the other ones are in the checks above.
  RETURN QUERY
  SELECT
    text 'roles have nothing but what was granted to them', count(*),
    count(*) FILTER (WHERE o.wrong),
    min(format('%s: %s', pg_get_userbyid(o.grantee), o.name)) FILTER (WHERE o.wrong)
  FROM (
    SELECT
      r.name, a.grantee,
      a.is_grantable OR NOT EXISTS (
        SELECT
        FROM grants AS g
        WHERE g.role = pg_get_userbyid(a.grantee)
          AND (r.kind = 'schema' OR r.name = ANY (_granted_names(g.kind)))
      ) AS wrong
    FROM _list_rights() AS r
    CROSS JOIN aclexplode(r.rights) AS a
    WHERE a.grantee NOT IN (0, r.owner)
  ) AS o;

  RETURN QUERY
  SELECT
    text 'writers are restricted as granted', bigint '1',
    CASE WHEN _writers_restricted() = r.restricted THEN bigint '0' ELSE 1 END,
    CASE WHEN _writers_restricted() <> r.restricted THEN text 'function _writers_restricted' END
  FROM (
    SELECT EXISTS (
      SELECT FROM grants AS g WHERE g.kind = 'write' AND g.categories IS NOT NULL
    ) AS restricted
  ) AS r;

  RETURN QUERY
  SELECT
    text 'a fence closes all tables or none', count(*), count(*) FILTER (WHERE t.wrong),
    min(t.name) FILTER (WHERE t.wrong)
  FROM (
    SELECT
      f.name::text,
      CASE
        WHEN c.new_conninfo IS NULL THEN g.oid IS NOT NULL AND (
          -- A fence that was lifted can leave a trigger that does nothing.
          g.tgnargs = 0 AND pg_get_triggerdef(g.oid) LIKE '% WHEN (false) %'
        ) IS NOT TRUE
        ELSE (
          g.tgenabled = 'O' AND g.tgtype = 62 AND g.tgqual IS NULL
          -- The arguments of a trigger end with a zero byte each.
          AND g.tgargs = convert_to(c.new_conninfo, 'UTF8') || decode('00', 'hex')
        ) IS NOT TRUE
      END OR g.tgfoid <> to_regproc('_keep_closed') AS wrong
    FROM _fenced_tables() AS f (name)
    LEFT JOIN pg_trigger AS g
      ON g.tgrelid = to_regclass(quote_ident(f.name)) AND g.tgname = 'store_is_closed'
    LEFT JOIN store_fence AS c ON true
    UNION ALL
    SELECT
      'function _is_open',
      CASE
        WHEN c.new_conninfo IS NOT NULL THEN p.prosrc <> _closed_body(c.new_conninfo)
        ELSE pg_get_function_sqlbody(p.oid) IS DISTINCT FROM 'RETURN true'
      END
    FROM pg_proc AS p
    LEFT JOIN store_fence AS c ON true
    WHERE p.pronamespace = store AND p.proname = '_is_open'
  ) AS t;

  RETURN QUERY
  SELECT
    text 'sequences are at what they gave', count(*),
    count(*) FILTER (WHERE l.last_value < l.highest),
    string_agg(
      format('%s is at %s, %s is stored', l.sequence, l.last_value, l.highest), '; '
      ORDER BY l.sequence
    ) FILTER (WHERE l.last_value < l.highest)
  FROM list_sequences() AS l;

  RETURN QUERY
  SELECT
    text 'functions are pinned to the store', count(*), count(*) FILTER (WHERE f.wrong),
    min(f.name) FILTER (WHERE f.wrong)
  FROM (
    SELECT
      p.proname::text AS name,
      (p.prosecdef OR l.lanname = 'plpgsql') AND NOT EXISTS (
        SELECT FROM unnest(p.proconfig) AS s (setting)
        -- Quoted or not: that depends on the keywords of the server that wrote it.
        WHERE s.setting IN (
          'search_path=' || quote_ident(current_schema()) || ', pg_temp',
          'search_path="' || replace(current_schema(), '"', '""') || '", pg_temp',
          'search_path=' || substring(current_schema() FROM '^[a-z_][a-z0-9_]*$') || ', pg_temp'
        )
      ) AS wrong
    FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.pronamespace = store
  ) AS f;
END
$$;

COMMENT ON FUNCTION _verify_objects() IS
$$Internal: the checks of verify_store that read the catalog.$$;
