"""The statements of a store. Each operation is one of them, and one round trip."""

from psycopg import sql

from pgstore._core.arguments import describe, is_text, name_of
from pgstore.errors import InvalidArgumentError

_COLUMNS = (
    "message_id, stream, version, global_position, type, data::text, metadata::text, added_at"
)

# A batch's parameters are texts of one line a message: one string each, instead of arrays that the
# driver would build element by element. JSON and ids have no line breaks in them.
_BATCH = """\
string_to_array(%s::text, E'\\n'), string_to_array(%s::text, E'\\n')::jsonb[], \
string_to_array(%s::text, E'\\n', '')::jsonb[]"""
_IDS = "string_to_array(%s::text, E'\\n')::uuid[]"

_FILTER = "%s::text[], %s::text[], %s::text, %s::bigint, %s::bigint, %s::text"
_LEASE = "%s::text, %s::bigint, %s::bigint"
# Only what says something: of most messages the checkpoint is their position.
_OF_BATCH = "nullif(checkpoint, global_position), nullif(parked, false)"

# Notify, and tell which session has done so.
NOTIFY = "SELECT pg_backend_pid() FROM pg_notify(%s::text, '')"


def quoted_schema(name: str) -> str:
    """A store's name, as a statement with parameters takes it. Refuses what no schema is called."""
    if (
        not name_of("name", name)
        or len(name.encode(errors="replace")) > 63
        or not is_text(name)
        or name.startswith("pg_")
        or name in ("information_schema", "$user")
    ):
        raise InvalidArgumentError(
            f"{describe(name)} cannot be a store's name: it is a schema's name, 1 to 63 bytes of"
            " UTF-8 that do not start with pg_"
        )
    return sql.Identifier(name).as_string().replace("%", "%%")


class Statements:
    """The statements of the store in one schema, with the schema's name quoted into them.

    All parameters are texts or None, cast by the server: a statement has one set of parameter
    types, so it is prepared once a connection, and no adapter of the user's is involved.
    """

    def __init__(self, name: str) -> None:
        schema = quoted_schema(name)

        def statement(text: str) -> str:
            return text.replace("STORE", schema)

        self.write = statement(
            "SELECT version, global_position FROM STORE.write_message("
            "%s::text, %s::text, %s::jsonb, %s::jsonb, %s::bigint, %s::uuid)"
        )
        self.write_many = statement(
            f"SELECT version, global_position FROM STORE.write_arrays("
            f"%s::text, {_BATCH}, %s::bigint, {_IDS})"
        )
        self.synchronize = statement(
            f"SELECT version, global_position FROM STORE.synchronize_stream("
            f"%s::text, {_IDS}, {_BATCH}, {_IDS})"
        )
        self.read = statement(
            f"SELECT {_COLUMNS} FROM STORE.read_stream("
            "%s::text, %s::bigint, %s::bigint, %s::boolean)"
        )
        self.last = statement(f"SELECT {_COLUMNS} FROM STORE.last_message(%s::text, %s::text)")
        self.get_many = statement(f"SELECT {_COLUMNS} FROM STORE.get_messages({_IDS})")
        self.stream_version = statement("SELECT STORE.stream_version(%s::text)")
        # Nothing of a store that was renamed: its functions look for the tables under the old name,
        # and may find another store's.
        self.applied_migrations = statement(
            "SELECT number, checksum FROM STORE.applied_migrations() WHERE NOT EXISTS ("
            "SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
            " CROSS JOIN unnest(p.proconfig) AS s (setting)"
            f" WHERE n.nspname = {sql.Literal(name).as_string().replace('%', '%%')}"
            " AND p.proname = 'applied_migrations' AND starts_with(s.setting, 'search_path=')"
            " AND s.setting <> 'search_path=' || quote_ident(n.nspname) || ', pg_temp')"
        )
        self.read_page = statement(
            f"SELECT {_COLUMNS}, reached_position, looked_position FROM STORE.read_page("
            f"%s::bigint, %s::bigint, {_FILTER})"
        )
        self.safe_position = statement("SELECT STORE.safe_position()")
        self.horizon = statement("SELECT safe_position, in_flight FROM STORE.horizon()")
        self.fall_asleep = statement(
            "SELECT safe_position, in_flight FROM STORE.fall_asleep(%s::integer)"
        )
        self.wake_up = statement("SELECT safe_position, in_flight FROM STORE.wake_up(%s::integer)")
        self.wake_channel = statement("SELECT STORE.wake_channel(), pg_backend_pid()")
        self.create_subscription = statement(
            "SELECT STORE.create_subscription(%s::text, %s::text[], %s::text[], %s::text,"
            " %s::bigint, %s::text, %s::bigint, %s::timestamptz, %s::text, %s::bigint,"
            " %s::interval)"
        )
        # A lease that a crash of the server takes back has done no harm: no wait for the disk.
        claimed = f"SELECT {_COLUMNS}, {_OF_BATCH}, subscription, partition, token"
        claim = (
            " FROM set_config('synchronous_commit', 'off', true), STORE.claim_batch("
            "%s::text[], %s::text, %s::interval, %s::bigint)"
        )
        self.claim_batch = statement(claimed + claim)
        # A claim and, if there is nothing to claim, one row that ends with the seconds until there
        # can be something, in one round trip: an idle worker runs no statement more for it.
        self.look = statement(
            f"WITH claimed AS MATERIALIZED ({claimed}, NULL::float8{claim})"
            " SELECT claimed.* FROM claimed"
            f" UNION ALL SELECT {'NULL, ' * 13}"
            "coalesce(extract(epoch FROM STORE.next_claim(%s::text[]))::float8, 'infinity')"
            " WHERE NOT EXISTS (SELECT FROM claimed)"
        )
        self.fetch_batch = statement(
            f"SELECT {_COLUMNS}, {_OF_BATCH} FROM STORE.fetch_batch({_LEASE}, %s::bigint)"
        )
        self.extend_lease = statement(f"SELECT STORE.extend_lease({_LEASE})")
        self.release_partition = statement(f"SELECT STORE.release_partition({_LEASE})")
        self.abandon_partition = statement(f"SELECT STORE.abandon_partition({_LEASE}, %s::text)")
        self.acknowledge = statement(
            f"SELECT 1 FROM STORE.acknowledge({_LEASE}, %s::bigint, %s::boolean)"
        )
        self.settle_parked = statement(f"SELECT 1 FROM STORE.settle_parked({_LEASE}, %s::bigint)")
        self.begin_handling = statement(f"SELECT 1 FROM STORE.begin_handling({_LEASE})")
        self.check_handling = statement(f"SELECT 1 FROM STORE.check_handling({_LEASE})")
        # The same in the transaction of a handler, where it takes the lease's parameters twice.
        self.acknowledge_handled = statement(
            f"SELECT 1 FROM STORE.check_handling({_LEASE}),"
            f" STORE.acknowledge({_LEASE}, %s::bigint, %s::boolean)"
        )
        self.settle_handled = statement(
            f"SELECT 1 FROM STORE.check_handling({_LEASE}),"
            f" STORE.settle_parked({_LEASE}, %s::bigint)"
        )
        self.fail_message = statement(f"SELECT STORE.fail_message({_LEASE}, %s::bigint, %s::text)")
        self.behind = statement(
            "SELECT subscription, max(behind) FROM STORE.list_partitions() GROUP BY subscription"
        )
        self.of_subscription = {
            name: statement(text)
            for name, text in {
                "drop_subscription": "SELECT 1 FROM STORE.drop_subscription(%s::text)",
                "pause_subscription": "SELECT 1 FROM STORE.pause_subscription(%s::text)",
                "resume_subscription": (
                    "SELECT 1 FROM STORE.resume_subscription(%s::text, %s::bigint)"
                ),
                "rewind_subscription": (
                    "SELECT STORE.rewind_subscription(%s::text, %s::bigint, %s::timestamptz)"
                ),
                "repartition_subscription": (
                    "SELECT 1 FROM STORE.repartition_subscription(%s::text, %s::bigint)"
                ),
                "partitions": (
                    "SELECT coalesce(next_partitions, partitions) FROM STORE.list_subscriptions()"
                    " WHERE subscription = %s::text"
                ),
                "list_partitions": (
                    "SELECT subscription, partition, state, checkpoint, behind, worker,"
                    " leased_until, retry_at, attempts, failed_position, error"
                    " FROM STORE.list_partitions() WHERE subscription = %s::text"
                ),
                "list_parked": (
                    "SELECT global_position, stream, version, type, message_id, partition,"
                    " attempts, parked_at, replay, error FROM STORE.list_parked(%s::text)"
                ),
                "replay_parked": "SELECT STORE.replay_parked(%s::text, %s::bigint)",
                "drop_parked": "SELECT STORE.drop_parked(%s::text, %s::bigint)",
                "subscription_position": "SELECT STORE.subscription_position(%s::text)",
            }.items()
        }
