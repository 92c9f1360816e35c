"""The statements of a store. Each operation is one of them, and one round trip."""

from psycopg import sql

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


class Statements:
    """The statements of the store in one schema, with the schema's name quoted into them.

    All parameters are texts or None, cast by the server: a statement has one set of parameter
    types, so it is prepared once a connection, and no adapter of the user's is involved.
    """

    def __init__(self, name: str) -> None:
        if (
            not name
            or len(name.encode()) > 63
            or "\0" in name
            or name.startswith("pg_")
            or name in ("information_schema", "$user")
        ):
            raise InvalidArgumentError(
                f"{name!r} cannot be a store's name: it is a schema's name, 1 to 63 bytes of UTF-8 "
                "that do not start with pg_"
            )
        schema = sql.Identifier(name).as_string().replace("%", "%%")

        def statement(text: str) -> str:
            return text.replace("STORE", schema)

        self.write = statement(
            "SELECT version, global_position FROM STORE.write_message("
            "%s::text, %s::text, %s::jsonb, %s::jsonb, %s::bigint, %s::uuid)"
        )
        self.write_many = statement(
            f"SELECT version, global_position FROM STORE.write_batch("
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
        self.applied_migrations = statement(
            "SELECT number, checksum FROM STORE.applied_migrations()"
        )
