"""Handlers of a subscription: which function takes which messages, from its annotations."""

import functools
import inspect
import typing
from collections.abc import Callable, Sequence

import msgspec
from psycopg import AsyncConnection, Connection

from pgstore._core.arguments import describe, refuse_no_function
from pgstore._core.failures import description
from pgstore._core.messages import StoredMessage
from pgstore._core.shapes import members, not_a_type
from pgstore.errors import InvalidArgumentError

Function = Callable[..., typing.Any]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Handler(msgspec.Struct, frozen=True):
    """A registered function: its parameters, and whether it takes the transaction."""

    function: Function
    types: frozenset[type]
    takes_stored: bool
    takes_transaction: bool

    @property
    def name(self) -> str:
        """The function's, as errors show it."""
        return title_of(self.function)


ConnectionClass = type[Connection[typing.Any]] | type[AsyncConnection[typing.Any]]


def message_handler(
    function: Function, known: frozenset[type], connection: ConnectionClass
) -> Handler:
    """A handler of single messages, of the types in its first parameter's annotation.

    Raises TypeError for an annotation that no message can match.
    """
    annotation, takes_transaction = _parameters(function, connection, known)
    plain = members(annotation)
    stored = [_stored_argument(member) for member in plain]
    if any(stored) and not all(stored):
        raise TypeError(
            f"{title_of(function)}: annotate messages or stored messages, not a mixture:"
            f" {describe(annotation)}"
        )
    plain = [cls for argument in stored if argument for cls in members(argument)] or plain
    return Handler(function, _known(function, plain, known), any(stored), takes_transaction)


def batch_handler(
    function: Function, known: frozenset[type], connection: ConnectionClass
) -> Handler:
    """A handler of lists of stored messages; Any stands for all of the store's types."""
    annotation, takes_transaction = _parameters(function, connection, known)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if (
        origin not in (list, Sequence)
        or not arguments
        or typing.get_origin(arguments[0]) is not StoredMessage
    ):
        raise TypeError(
            f"{title_of(function)}: a batch handler takes a list[StoredMessage[…]],"
            f" not {describe(annotation)}"
        )
    (argument,) = typing.get_args(arguments[0])
    types = known if argument is typing.Any else _known(function, members(argument), known)
    return Handler(function, types, takes_stored=True, takes_transaction=takes_transaction)


def refuse_other_color(function: Function, connection: ConnectionClass) -> None:
    """Raise TypeError for an object that cannot just be called, or awaited: it would not run."""
    if not callable(function):
        raise TypeError(f"a handler is a function, not {describe(function)}")
    if is_generator(function):
        raise TypeError(
            f"{title_of(function)} is a generator, which does nothing when called: take out yield"
        )
    wanted = connection is AsyncConnection
    if is_async(function) is not wanted:
        raise TypeError(
            f"{title_of(function)} must be an async function: write async def, or make a"
            " MessageStore, which calls it"
            if wanted
            else f"{title_of(function)} must not be an async function: write def, or make an"
            " AsyncMessageStore, which awaits it"
        )


def is_generator(function: Function) -> bool:
    """Tell whether a call of it does nothing but make a generator."""
    ways = _ways(function)
    return any(inspect.isgeneratorfunction(way) or inspect.isasyncgenfunction(way) for way in ways)


def is_async(function: Function) -> bool:
    """Tell whether a call of it has to be awaited."""
    return any(map(inspect.iscoroutinefunction, _ways(function)))


def refuse_no_plain_function(name: str, function: Function) -> None:
    """Refuse a value that cannot be called, or whose result nobody would await."""
    refuse_no_function(name, function)
    if is_async(function):
        raise InvalidArgumentError(
            f"{name} must be a plain function, with def: {title_of(function)} is async"
        )


def refuse_other_parameters(name: str, function: Function, *takes: str) -> None:
    """Refuse a function that does not take these arguments, or that only makes a generator."""
    refuse_no_plain_function(name, function)
    if is_generator(function):
        raise InvalidArgumentError(
            f"{name} must return its result: {title_of(function)} is a generator: take out yield"
        )
    if not takes_as_many(function, len(takes)):
        wanted = " and ".join(takes) or "no arguments"
        raise InvalidArgumentError(f"{name} must take {wanted}: {title_of(function)} does not")


def takes_as_many(function: Function, count: int) -> bool:
    """Tell whether a function can be called with so many arguments; True if nothing tells."""
    try:
        signature = inspect.signature(function)
    except Exception:  # most that are written in C have none; annotations can raise anything
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _ways(function: Function) -> tuple[Function, Function]:
    """Return the function behind a partial one, and the method that makes an object callable."""
    while isinstance(function, functools.partial):
        function = function.func
    return function, type(function).__call__


def hints_of(function: Function) -> dict[str, typing.Any]:
    """The annotations of a function, evaluated."""
    called, of_its_class = _ways(function)
    # A decorated one has the annotations of the function that it wraps.
    annotated = inspect.isroutine(called) or hasattr(called, "__wrapped__")
    return typing.get_type_hints(called if annotated else of_its_class)


def _known(
    function: Function, classes: list[typing.Any], known: frozenset[type]
) -> frozenset[type]:
    for cls in classes:
        if not isinstance(cls, type) or cls not in known:
            raise TypeError(f"{title_of(function)}: {not_a_type(cls, known)}")
    return frozenset(classes)


def _parameters(
    function: Function, connection: ConnectionClass, known: frozenset[type]
) -> tuple[typing.Any, bool]:
    refuse_other_color(function, connection)
    try:
        signature, hints = inspect.signature(function), hints_of(function)
    except Exception as error:  # annotations that are evaluated can raise anything
        raise TypeError(unreadable_annotations(function, error)) from error
    parameters = {
        name: each
        for name, each in signature.parameters.items()
        if each.kind is not each.KEYWORD_ONLY or each.default is each.empty
    }
    names = list(parameters)
    if any(each.kind not in _POSITIONAL for each in parameters.values()):
        raise TypeError(
            f"{title_of(function)}: it gets the message, and the connection if it has a second"
            " parameter, by position: no *args, **kwargs or keyword-only parameters"
        )
    if not names or names[0] not in hints:
        example = f"{names[0] if names else 'event'}: {min(cls.__name__ for cls in known)}"
        raise TypeError(
            f"{title_of(function)}: annotate its first parameter with what it handles, as in"
            f" def {getattr(_ways(function)[0], '__name__', 'handle')}({example})"
        )
    if len(names) > 2:
        raise TypeError(
            f"{title_of(function)} has {len(names)} parameters: a handler gets the message, and the"
            " connection of its transaction if it has a second one"
        )
    if len(names) == 2:
        wanted = hints.get(names[1], connection)
        kind = typing.get_origin(wanted) or wanted
        if kind is not typing.Any and not (isinstance(kind, type) and issubclass(kind, connection)):
            raise TypeError(
                f"{title_of(function)}: its second parameter gets the connection of its"
                f" transaction: annotate it with"
                f" psycopg.{connection.__name__}, not {describe(wanted)}"
            )
    return hints[names[0]], len(names) == 2


def unreadable_annotations(function: Function, error: Exception) -> str:
    """Why a function tells no types: most that are written in C have no signature (ValueError)."""
    remedy = (
        "write a function with annotations"
        if isinstance(error, ValueError)
        else "annotate it with classes that its module defines or imports"
    )
    return f"{title_of(function)}: its annotations cannot be read: {description(error)}: {remedy}"


def _stored_argument(annotation: typing.Any) -> typing.Any:
    if typing.get_origin(annotation) is StoredMessage:
        return typing.get_args(annotation)[0]
    return None


def title_of(function: Function) -> str:
    """Its name in errors; of an object that can be called, its class's."""
    called, _ = _ways(function)
    return getattr(called, "__qualname__", type(called).__qualname__)
