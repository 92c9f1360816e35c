"""A store's name in the statements."""

import hashlib
import itertools
import re

from pgstore._core.arguments import describe, is_text, name_of
from pgstore.errors import InvalidArgumentError

# A JSON text has no control characters: with these, COPY changes nothing in it.
_RAW = " (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"


class Statements(dict[str, str]):
    """The statements of one store: `statements[WRITE]` has the schema's name quoted into it."""

    def __init__(self, store: str) -> None:
        """Refuse what no schema can be called."""
        from psycopg import sql  # not above: most commands' help comes without the driver

        if (
            not name_of("store", store)
            or len(store.encode(errors="replace")) > 63
            or not is_text(store)
            or store.startswith("pg_")
            or store in ("information_schema", "$user")
        ):
            raise InvalidArgumentError(
                f"{describe(store)} cannot be a store's name: it is a schema's name, 1 to 63 bytes"
                " of UTF-8 that do not start with pg_"
            )
        super().__init__()
        self.store = store
        self.schema = sql.Identifier(store).as_string()

    def __missing__(self, statement: str) -> str:
        self[statement] = statement.replace("STORE", self.schema.replace("%", "%%"))
        return self[statement]

    def copy_out(self, statement: str, **values: str | int | None) -> str:
        """Make a COPY, which takes no parameters: the values are quoted into it."""
        from psycopg import sql

        quoted = {name: sql.Literal(value).as_string() for name, value in values.items()}
        return statement.replace("STORE", "{store}").format(store=self.schema, **quoted) + _RAW


# A cursor of psycopg replaces these in a statement: a parameter, and a doubled percent sign.
_PLACEHOLDER = re.compile("%([s%])")


def as_prepared(statement: str) -> tuple[bytes, bytes]:
    """A name for a statement, and the statement as the server reads it, with $1, $2 …

    No two statements have the same name: behind a pooler a session may know those of other stores
    and other versions.
    """
    numbers = itertools.count(1)

    def replacement(found: re.Match[str]) -> str:
        return "%" if found[1] == "%" else f"${next(numbers)}"

    query = _PLACEHOLDER.sub(replacement, statement).encode()
    return b"pgstore_" + hashlib.sha256(query).hexdigest()[:32].encode(), query
