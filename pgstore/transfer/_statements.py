"""The SQL statements of export, import and verify. STORE stands for the store's schema."""

from psycopg import sql

from pgstore._core.statements import quoted_schema

_TEXTS = "%s::text[]"
_NUMBERS = "%s::bigint[]"
_DATA = "string_to_array(%s::text, E'\\n')::jsonb[]"
_METADATA = "string_to_array(%s::text, E'\\n', '-')::jsonb[]"
_IDS = "%s::uuid[]"
_TIMES = "STORE.import_times(%s::text[])"

_ARRAYS = [_TEXTS, _NUMBERS, _TEXTS, _DATA, _METADATA, _IDS, _TIMES, _NUMBERS]

# Commits that the disk is not waited for, until FLUSH stands for all. For the transaction only: the
# session may be another client's in the next one, behind a pooler.
_UNWAITED = "set_config('synchronous_commit', 'off', true)"
IMPORT = f"SELECT imported, skipped FROM {_UNWAITED}, STORE.import_messages({', '.join(_ARRAYS)})"
IMPORT_FLOORS = f"SELECT f FROM {_UNWAITED}, STORE.import_floors({_TEXTS}, {_NUMBERS}) AS f"

# Whether the server can read these texts at all.
READABLE = f"SELECT {', '.join(f'cardinality({array})' for array in _ARRAYS)}"

IS_EMPTY = "SELECT STORE.last_position() = 0"
POSITION_OF = "SELECT m.global_position FROM STORE.get_messages(ARRAY[%s::uuid]) AS m"

# For a check without an import.
VERSIONS = """
SELECT s.stream, STORE.stream_version(s.stream) FROM unnest(%s::text[]) AS s (stream)"""
PLACES = f"""
SELECT
  m.message_id::text, m.stream, m.version,
  m.type = g.type AND m.data = g.data AND m.metadata IS NOT DISTINCT FROM g.metadata
FROM unnest({_IDS}, {_TEXTS}, {_DATA}, {_METADATA}) AS g (message_id, type, data, metadata)
JOIN STORE.get_messages({_IDS}) AS m USING (message_id)"""

# Has the effect of a commit that is waited for: earlier commits without a wait are safe when this
# one is.
FLUSH = "SELECT pg_logical_emit_message(true, 'pgstore', 'import')"

SAFE_POSITION = "SELECT STORE.safe_position(), STORE.schema_version(), clock_timestamp()"
FLOORS = "COPY (SELECT f.line FROM {STORE}.export_floors({category}, {stream}) AS f) TO STDOUT"
PAGE = (
    "COPY (SELECT e.global_position, e.line FROM {STORE}.export_messages({after}, {up_to}, {count},"
    " {category}, {stream}) AS e) TO STDOUT"
)

# A JSON text has no control characters: with these, COPY changes nothing in it.
RAW = " (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"

VERIFY = "SELECT check_name, checked, wrong, example FROM STORE.verify_store()"
APPLIED = "SELECT number, checksum FROM STORE.applied_migrations()"
BODIES = """
SELECT p.proname, p.prosrc
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %s::text)
  AND l.lanname = 'plpgsql'"""

# The definitions of a schema's objects, without the schema's name: for its store's search path.
ON_PATH = "SELECT set_config('search_path', quote_ident(%s::text) || ', pg_temp', true)"
DEFINITIONS = """
WITH store AS (
  SELECT
    n.oid,
    -- The ways to write the path of this store: quoted or not, which depends on the server's
    -- version, because each has keywords of its own.
    ARRAY[
      'search_path=' || quote_ident(n.nspname) || ', pg_temp',
      'search_path="' || replace(n.nspname, '"', '""') || '", pg_temp',
      'search_path=' || substring(n.nspname FROM '^[a-z_][a-z0-9_]*$') || ', pg_temp'
    ] AS paths
  FROM pg_namespace AS n
  WHERE n.nspname = current_schema()
)
SELECT
  'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
  pg_get_function_sqlbody(p.oid),
  json_build_array(
    pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.prokind, p.prolang,
    p.prosecdef, p.proleakproof, p.proisstrict, p.provolatile, p.proparallel, p.prosrc,
    ARRAY(
      SELECT CASE WHEN c.setting = ANY (s.paths) THEN 'search_path' ELSE c.setting END
      FROM unnest(p.proconfig) AS c (setting)
      ORDER BY 1
    )
  )::text
FROM store AS s
JOIN pg_proc AS p ON p.pronamespace = s.oid
UNION ALL
SELECT
  CASE c.relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || c.relname,
  NULL,
  json_build_array(
    c.relkind, c.relpersistence, pg_get_viewdef(c.oid),
    CASE c.relkind WHEN 'v' THEN c.reloptions END,
    EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhparent = c.oid),
    (
      SELECT json_agg(
        json_build_array(
          a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull,
          a.attgenerated, a.attidentity, pg_get_expr(d.adbin, d.adrelid)
        )
        ORDER BY a.attnum
      )
      FROM pg_attribute AS a
      LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    )
  )::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
UNION ALL
SELECT
  'constraint ' || o.conname || ' of ' || o.conrelid::regclass,
  NULL,
  json_build_array(pg_get_constraintdef(o.oid), o.convalidated)::text
FROM store AS s
JOIN pg_constraint AS o ON o.connamespace = s.oid AND o.contype <> 'n'
UNION ALL
SELECT
  'trigger ' || t.tgname || ' of ' || c.relname,
  NULL,
  json_build_array(pg_get_triggerdef(t.oid, true), t.tgenabled)::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid
JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal
UNION ALL
SELECT
  'index ' || n.relname,
  NULL,
  json_build_array(
    c.relname, n.relam, pg_get_expr(i.indpred, i.indrelid),
    ARRAY(
      SELECT pg_get_indexdef(i.indexrelid, k, false)
      FROM generate_series(1, i.indnatts::integer) AS k
      ORDER BY k
    ),
    -- The rest, but for what only the operator and the server are concerned with.
    to_jsonb(i)
      - '{indexrelid,indrelid,indkey,indexprs,indpred,indisclustered,indisreplident,indcheckxmin}'
        ::text[]
  )::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid
JOIN pg_index AS i ON i.indrelid = c.oid
JOIN pg_class AS n ON n.oid = i.indexrelid
UNION ALL
SELECT
  'sequence ' || c.relname,
  NULL,
  json_build_array(
    c.relpersistence, q.seqtypid, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
    q.seqcycle
  )::text
FROM store AS s
JOIN pg_class AS c ON c.relnamespace = s.oid
JOIN pg_sequence AS q ON q.seqrelid = c.oid"""


def statement(text: str, store: str) -> str:
    """The statement for one store, with its name quoted into it."""
    return text.replace("STORE", quoted_schema(store))


def copy_statement(text: str, store: str, **values: str | int | None) -> str:
    """A COPY, which takes no parameters: the values are quoted into it."""
    quoted = {name: sql.Literal(value).as_string() for name, value in values.items()}
    return text.format(STORE=sql.Identifier(store).as_string(), **quoted) + RAW
