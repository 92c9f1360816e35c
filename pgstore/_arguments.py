"""What callers pass: told by its name if it is of the wrong type, before anything is sent."""

from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstore._text import masked
from pgstore.errors import InvalidArgumentError

T = TypeVar("T")

# Of a value in an error.
_LONGEST = 60


def number(name: str, value: int | None) -> str | None:
    """A whole number as the statements take it; True and "1" are none."""
    if value is None:
        return None
    if type(value) is not int and (isinstance(value, bool) or not hasattr(value, "__index__")):
        raise InvalidArgumentError(f"{name} must be a whole number, not {shown(value)}")
    return str(value)


def count(name: str, value: int, *, least: int = 0) -> None:
    """Refuse what is not a number of things, or too small a one."""
    if number(name, value) is None or value < least:
        raise InvalidArgumentError(f"{name} must be {least} or more, not {shown(value)}")


def one_of(name: str, value: str, *choices: str) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        wanted = " or ".join(f'"{choice}"' for choice in choices)
        raise InvalidArgumentError(f"{name} must be {wanted}, not {shown(value)}")


def name_of(argument: str, value: str) -> str:
    """A name, which must be a text."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{argument} must be a str, not {shown(value)}")
    return value


def several(name: str, values: Iterable[T] | None) -> tuple[T, ...] | None:
    """An argument of several values; a text, which has letters, is meant as one."""
    if values is None:
        return None
    if isinstance(values, str | bytes) or not hasattr(type(values), "__iter__"):
        raise InvalidArgumentError(f"{name} must be several, in a list: [{shown(values)}]")
    return tuple(values)


def shown(value: object) -> str:
    """A value as errors show it: shortened."""
    try:
        text = value.__name__ if isinstance(value, type) else masked(repr(value))
    except Exception:  # a number of more than 4,300 digits, for example
        text = f"a value of {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def refuse_source(source: object, pool: type[Any], store: str) -> None:
    """Refuse what a store cannot connect with; its kind of pool tells its color."""
    if source is None or isinstance(source, str | pool):
        return
    wanted = f"a connection string, a psycopg_pool.{pool.__name__} or None"
    kind = _kind(source)
    if isinstance(source, ConnectionPool | AsyncConnectionPool):
        other = "MessageStore" if isinstance(source, ConnectionPool) else "AsyncMessageStore"
        hint = f": that is for {other}"
    elif hasattr(source, "pgconn"):
        hint = ": pass a connection to the operations, as conn="
    else:
        hint = ""
    raise InvalidArgumentError(f"{store} connects with {wanted}, not with a {kind}{hint}")


def uuid_text(argument: str, value: object) -> str:
    """A message's id, which may be given as text."""
    try:
        return str(value if isinstance(value, UUID) else UUID(str(value)))
    except ValueError:
        raise InvalidArgumentError(f"{argument} must be a uuid.UUID, not {shown(value)}") from None


# How to pass what other libraries call a connection or a session, by its class's module.
_INSIDE = {
    "sqlalchemy.ext.asyncio.session": (
        "(await (await session.connection()).get_raw_connection()).driver_connection"
    ),
    "sqlalchemy.ext.asyncio.engine": "(await connection.get_raw_connection()).driver_connection",
    "sqlalchemy.orm": "session.connection().connection.driver_connection",
    "sqlalchemy.engine": "connection.connection.driver_connection",
    "django": "connection.connection, inside transaction.atomic()",
}


def no_connection(conn: object, wanted: type[Any]) -> InvalidArgumentError:
    """The error for a conn= that is no connection, or one of the other color."""
    kind = _kind(conn)
    inside = next((way for module, way in _INSIDE.items() if kind.startswith(f"{module}.")), None)
    return InvalidArgumentError(
        f"conn must be a psycopg.{wanted.__name__}, as store.transaction() gives one, not a {kind}"
        + (f": pass the one inside, conn={inside}" if inside else "")
    )


def _kind(value: object) -> str:
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
