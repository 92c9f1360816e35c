"""A store's SQL as one script, for people to read and for any migration tool to run."""

from pgstore._core import sql_files
from pgstore._core.text import printable
from pgstore._core.version import package_version

_HEAD = """\
-- pgstore {version}: {what}
-- Run it as the role that is to own the store. It is one transaction, or nothing.
"""

# After prepare.sql, which has made the schema and set search_path.
_EXPECT = """\
DO $$
DECLARE
  found bigint := (SELECT coalesce(max(m.number), 0) FROM migrations AS m WHERE m.number > 0);
BEGIN
  IF found <> {applied} THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = format(
        'this script is for store %I at schema version {applied}, and it is at version %s',
        current_schema(), found
      ),
      HINT = 'pgstore sql --from VERSION makes one for the version that the store is at. '
        'Version 0 is no store: pgstore sql without --from makes that one.';
  END IF;
END
$$;
"""

# The interface's functions of before would be over the store's new ones.
_REFUSE_INTERFACE = """\
DO $$
BEGIN
  IF current_setting('pgstore.has_interface')::boolean THEN
    RAISE EXCEPTION USING
      ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = format(
        'Message DB''s interface is over store %I, and this script is without it', current_schema()
      ),
      HINT = 'pgstore sql --message-db makes one with it.';
  END IF;
END
$$;
"""

# In the transaction of another tool, which continues with statements of its own: with our
# search_path Alembic and Django would not find the table in which they write down what has run.
_KEEP = """\
SELECT set_config('pgstore.before', (
  SELECT json_object_agg(s.name, s.setting)::text
  FROM pg_settings AS s
  WHERE s.name IN ('client_encoding', 'client_min_messages', 'lock_timeout', 'search_path')
), true);
"""
_PUT_BACK = """\
SELECT set_config(b.name, b.setting, true)
FROM json_each_text(current_setting('pgstore.before')::json) AS b (name, setting);
"""


def script(store: str, *, applied: int, transaction: bool = True, message_db: bool = False) -> str:
    """The SQL that brings a store from a schema version to this package's; 0 is no store.

    With `message_db`, Message DB's interface too.
    """
    newest = sql_files.migrations()[-1].number
    what = f"store {store}, schema version {newest}"
    if applied:
        what = f"store {store} from schema version {applied} to {newest}"
    pending = [each.text for each in sql_files.migrations() if each.number > applied]
    parts = [
        _HEAD.format(version=package_version(), what=printable(what)),
        "BEGIN ISOLATION LEVEL READ COMMITTED;\n" if transaction else _KEEP,
        "SET LOCAL client_min_messages = warning;\n",
        _setting("pgstore.schema", store),
        _setting("pgstore.manifest", sql_files.manifest()),
        sql_files.read("prepare.sql"),
        _EXPECT.format(applied=applied),
        "" if message_db else _REFUSE_INTERFACE,
        *pending,
        sql_files.repeated_sql(),
        sql_files.read("record.sql"),
        sql_files.interface_sql() if message_db else "",
        "COMMIT;\n" if transaction else _PUT_BACK,
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _setting(name: str, value: str) -> str:
    from psycopg import sql  # not above: help comes without the driver

    return f"SELECT set_config('{name}', {sql.Literal(value).as_string()}, true);\n"
