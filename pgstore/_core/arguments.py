"""Checks of callers' arguments: an error names the wrong one before anything is sent.

A caller continues with the value that these functions return, not with the one that it was given:
an object that only answers for a number neither compares nor prints as one.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import isnan
from operator import index
from typing import Any, TypeVar
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstore._core.frameworks import OF_ASYNC_SQLALCHEMY, OF_SQLALCHEMY, advice, kind_of
from pgstore._core.text import masked, shortened
from pgstore.errors import InvalidArgumentError

T = TypeVar("T")

# A relative time beyond this is a mistake, and soon more than the server's times hold.
_LONGEST_WAIT = timedelta(days=365_000)


def wrong(text: str, value: object) -> InvalidArgumentError:
    """The error that says how an argument must be, and how it is."""
    return InvalidArgumentError(f"{text}, not {describe(value)}")


def number(name: str, value: int | None) -> str | None:
    """A whole number as the statements take it; True and "1" are none."""
    return None if value is None else str(whole(name, value))


def whole(name: str, value: int) -> int:
    """A whole number, as large as the server's can be."""
    if type(value) is not int:
        if isinstance(value, bool) or not hasattr(type(value), "__index__"):
            raise wrong(f"{name} must be a whole number", value)
        value = index(value)
    if not -(2**63) <= value < 2**63:
        raise wrong(f"{name} must be a number of 64 bits", value)
    return value


def count(name: str, value: int, *, least: int = 0, most: int | None = None) -> int:
    """A number of things, which is not too small, and not too large."""
    number = whole(name, value)
    if most is not None and not least <= number <= most:
        raise InvalidArgumentError(f"{name} must be {least} to {most}, not {number}")
    if number < least:
        raise InvalidArgumentError(f"{name} must be {least} or more, not {number}")
    return number


def seconds(name: str, value: object) -> float:
    """A number of seconds."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and not isnan(value):
            return float(value)
    except OverflowError:
        pass
    raise wrong(f"{name} must be a number of seconds", value)


def aware(moment: datetime) -> datetime:
    """A time, which must have a zone."""
    if not isinstance(moment, datetime):
        raise wrong("a time must be a datetime", moment)
    if moment.utcoffset() is None:
        raise InvalidArgumentError(
            "a time needs a zone, as in datetime(2026, 3, 1, tzinfo=UTC):"
            f" {describe(moment)} has none"
        )
    return moment


def due_times(name: str, due: object) -> tuple[str | None, str | None]:
    """A time, or how long until then, as the statement takes them: one of them is None."""
    if isinstance(due, datetime):
        return aware(due).isoformat(), None
    if not isinstance(due, timedelta):
        raise wrong(f"{name} must be a datetime, aware of its zone, or a timedelta", due)
    if abs(due) > _LONGEST_WAIT:
        raise InvalidArgumentError(f"{name} must be within {_LONGEST_WAIT.days} days, not {due}")
    return None, f"{due.total_seconds():.6f} seconds"


def refuse_no_function(name: str, value: object, *, optional: bool = False) -> None:
    """Refuse a value that cannot be called, unless it is None and that is allowed."""
    if not callable(value) and not (optional and value is None):
        raise wrong(f"{name} must be a function", value)


def is_text(value: str) -> bool:
    """Tell whether the server can hold a text: it has no NUL and no half of a character."""
    if "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value)


def one_of(name: str, value: str, *choices: str) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        wanted = " or ".join(f'"{choice}"' for choice in choices)
        raise wrong(f"{name} must be {wanted}", value)


def name_of(argument: str, value: str) -> str:
    """A name, which must be a text."""
    if not isinstance(value, str):
        raise wrong(f"{argument} must be a str", value)
    return value


def text_of(argument: str, value: str) -> str:
    """A text that the server can hold."""
    if not is_text(name_of(argument, value)):
        raise InvalidArgumentError(f"{argument} cannot hold such a character: {describe(value)}")
    return value


def category_of(value: str) -> str:
    """A category that streams can be of."""
    if "-" in text_of("category", value):
        raise wrong("category must be the part of a stream's name before the first -", value)
    return value


def several(name: str, values: Iterable[T] | None) -> tuple[T, ...] | None:
    """An argument of several values; a text, which has letters, is meant as one."""
    if values is None:
        return None
    # It would give its keys and lose its values.
    if isinstance(values, Mapping):
        raise wrong(f"{name} must be several, in a list", values)
    # Iterable asks the class alone: an object that only answers by number may have no end.
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} must be several, in a list: [{describe(values)}]")
    return tuple(values)


def describe(value: object) -> str:
    """A value as errors show it: shortened."""
    try:
        text = value.__name__ if isinstance(value, type) else masked(repr(value))
    except Exception:  # a number of more than 4,300 digits, for example
        text = f"a value of {type(value).__name__}"
    return shortened(text)


def refuse_source(source: object, pool: type[Any], store: str) -> None:
    """Refuse what a store cannot connect with; its kind of pool tells its color."""
    if source is None or isinstance(source, str | pool):
        return
    is_async = pool is AsyncConnectionPool
    frameworks = "an async engine" if is_async else "an engine, Django's connection"
    wanted = f"a connection string, a psycopg_pool.{pool.__name__}, {frameworks} or None"
    kind = _kind(source)
    if isinstance(source, ConnectionPool | AsyncConnectionPool):
        other = "MessageStore" if isinstance(source, ConnectionPool) else "AsyncMessageStore"
        hint = f": that is for {other}"
    elif kind_of(source) == "engine":
        hint = ": that is for MessageStore"
    elif kind_of(source) == "async engine":
        hint = ": that is for AsyncMessageStore"
    elif hasattr(source, "pgconn") or kind_of(source) in OF_SQLALCHEMY | OF_ASYNC_SQLALCHEMY:
        hint = ": pass a connection to the operations, as conn="
    else:
        hint = ""
    raise InvalidArgumentError(f"{store} connects with {wanted}, not with a {kind}{hint}")


def refuse_settings(**given: bool) -> None:
    """Refuse settings given with another store, which has its own."""
    if names := ", ".join(name for name, is_given in given.items() if is_given):
        raise InvalidArgumentError(f"the store that is given has its own {names}: leave it out")


def uuid_text(argument: str, value: object) -> str:
    """A message's id, which may be given as text."""
    try:
        return str(value if isinstance(value, UUID) else UUID(str(value)))
    except Exception:  # of the value's own __str__, too
        raise wrong(f"{argument} must be a uuid.UUID", value) from None


def refuse_other(conn: object, wanted: type[Any]) -> None:
    """Refuse what is no connection of this class."""
    if not isinstance(conn, wanted):
        hint = ": psycopg.connect(…, autocommit=True) makes one" if kind_of(conn) else ""
        raise InvalidArgumentError(
            f"conn must be a psycopg.{wanted.__name__}, not a {_kind(conn)}{hint}"
        )


def refuse_no_address(source: object) -> None:
    """Refuse a connection, an async engine or a pool where a new connection is to be made."""
    kind = kind_of(source)
    if kind == "async engine":
        hint = "pass its .url"
    elif hasattr(source, "pgconn") or kind in OF_SQLALCHEMY | OF_ASYNC_SQLALCHEMY:
        hint = (
            "an installation is a transaction of its own: pass a connection string or an engine;"
            " in a migration, run the script that `pgstore sql --no-transaction` prints"
        )
    elif isinstance(source, ConnectionPool | AsyncConnectionPool):
        hint = "pass its .conninfo"
    else:
        return
    raise InvalidArgumentError(f"a store is not installed by a {_kind(source)}: {hint}")


def no_connection(conn: object, wanted: type[Any]) -> InvalidArgumentError:
    """The error for a conn= in whose transaction a store cannot write."""
    others = "SQLAlchemy" if wanted is AsyncConnection else "SQLAlchemy or Django"
    hint = advice(kind_of(conn), wanted)
    return InvalidArgumentError(
        f"conn must be a psycopg.{wanted.__name__}, as store.transaction() gives one, or one"
        f" of {others}, not a {_kind(conn)}" + (f": {hint}" if hint else "")
    )


def _kind(value: object) -> str:
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
