"""What callers pass: told by its name if it is of the wrong type, before anything is sent."""

from collections.abc import Iterable
from typing import Any, TypeVar

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstore._text import masked
from pgstore.errors import InvalidArgumentError

T = TypeVar("T")


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
        raise InvalidArgumentError(f"{name} must be several: [{shown(values)}]")
    return tuple(values)


def shown(value: object) -> str:
    return value.__name__ if isinstance(value, type) else masked(repr(value))


def refuse_source(source: object, pool: type[Any], store: str) -> None:
    """Refuse what a store cannot connect with; its kind of pool tells its color."""
    if source is None or isinstance(source, str | pool):
        return
    wanted = f"a connection string, a psycopg_pool.{pool.__name__} or None"
    kind = type(source).__name__
    if isinstance(source, ConnectionPool | AsyncConnectionPool):
        other = "MessageStore" if isinstance(source, ConnectionPool) else "AsyncMessageStore"
        hint = f": that is for {other}"
    elif hasattr(source, "pgconn"):
        hint = ": pass a connection to the operations, as conn="
    else:
        hint = ""
    raise InvalidArgumentError(f"{store} connects with {wanted}, not with a {kind}{hint}")


def no_connection(conn: object, wanted: type[Any]) -> InvalidArgumentError:
    """The error for a conn= that is no connection, or one of the other color."""
    return InvalidArgumentError(
        f"conn must be a psycopg.{wanted.__name__}, as store.transaction() gives one, "
        f"not a {type(conn).__name__}"
    )
