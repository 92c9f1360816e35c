"""Upcasters: functions that make messages of the present classes of older stored ones.

A chain begins with a stored name. Its function gets the stored message, and its result goes to the
next function, until that is of a class of the store's, or None.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterable

import msgspec

from pgstore._core.arguments import describe
from pgstore._core.failures import description
from pgstore._core.handlers import (
    hints_of,
    is_async,
    is_generator,
    takes_as_many,
    title_of,
    unreadable_annotations,
)
from pgstore._core.shapes import is_type_name, members

Decode = Callable[[bytes | str], typing.Any]


class Upcaster(msgspec.Struct, frozen=True):
    """A stored type that the store's classes do not read, and how to make a present message of it.

    `name` is the stored type's. `function` gets the stored message: an object of the class that its
    parameter is annotated with, or a `dict[str, Any]`. It returns a message of a class of the
    store's, or an object of a class that another upcaster's function takes, which is called next;
    or None, and readers pass over the message. Its return annotation names all of them.
    """

    name: str
    function: Callable[[typing.Any], object]


class SkippedMessage(Exception):
    """An upcaster has returned None for a stored message: its reader passes over it."""


class UpcastError(ValueError):
    """An upcaster has failed."""


class Step(msgspec.Struct, frozen=True, eq=False):
    """A function of a chain, the class that it takes, and the classes that it returns."""

    function: Callable[[typing.Any], object]
    takes: type
    gives: frozenset[type]


def steps_of(upcasters: object, names: Iterable[str]) -> dict[str, Step]:
    """The first step of each upcaster, by its stored name. `names` are those of present classes.

    Raises TypeError or ValueError for an upcaster that cannot be used.
    """
    taken = set(names)
    steps: dict[str, Step] = {}
    if isinstance(upcasters, Upcaster | str | bytes) or not isinstance(upcasters, Iterable):
        raise TypeError(f"upcasters must be several, in a list, not {describe(upcasters)}")
    for each in upcasters:
        if not isinstance(each, Upcaster):
            raise TypeError(f"upcasters takes Upcaster(name, function), not {describe(each)}")
        if not is_type_name(each.name):
            raise ValueError(f"{describe(each.name)} cannot be the name of a stored type")
        if each.name in taken:
            raise ValueError(
                f"the upcaster of {each.name}: messages= reads that name with a class. Give the"
                " class a new name there, so that new messages can be told from old ones"
            )
        if each.name in steps:
            raise ValueError(f"two upcasters are for {each.name}: make one of them")
        steps[each.name] = _step(each.function)
    return steps


def _step(function: Callable[[typing.Any], object]) -> Step:
    if not callable(function):
        raise TypeError(f"an upcaster is a function, not {describe(function)}")
    name = title_of(function)
    if is_async(function) or is_generator(function):
        raise TypeError(f"{name}: an upcaster must be a plain function, which returns the message")
    try:
        hints = hints_of(function)
        needed = [
            each.name
            for each in inspect.signature(function).parameters.values()
            if each.default is each.empty
        ]
        takes_one = takes_as_many(function, 1)
    except Exception as error:  # annotations that are evaluated can raise anything
        raise TypeError(unreadable_annotations(function, error)) from error
    if not takes_one or len(needed) != 1 or needed[0] not in hints or "return" not in hints:
        raise TypeError(
            f"{name}: an upcaster takes the stored message and returns the present one: annotate"
            " both, as in def upcast(old: OldClass) -> NewClass, or with dict[str, Any]"
        )
    takes = typing.get_origin(hints[needed[0]]) or hints[needed[0]]
    gives = members(hints["return"])
    for each in (takes, *gives):
        if not isinstance(each, type) or each is typing.Any:
            raise TypeError(f"{name}: annotate it with classes, not with {describe(each)}")
    return Step(function, takes, frozenset(gives))


class Chains:
    """The steps that follow one another, up to the present classes."""

    def __init__(self, steps: dict[str, Step], present: Iterable[type]) -> None:
        self._present = frozenset(present)
        self._next: dict[type, Step] = {}
        self._ambiguous: set[type] = set()
        for step in steps.values():
            before = self._next.setdefault(step.takes, step)
            if before.function is not step.function:
                self._ambiguous.add(step.takes)

    def ends(self, step: Step, before: tuple[type, ...] = ()) -> frozenset[type]:
        """The present classes that a chain can end with. ValueError if it cannot be followed."""
        found = set(step.gives & self._present)
        for cls in step.gives - self._present - {types.NoneType}:
            name = title_of(step.function)
            if cls not in self._next or cls is dict:
                raise ValueError(
                    f"{name} returns {describe(cls)}, which is no message type of this store, and"
                    " no upcaster takes it"
                )
            if cls in self._ambiguous:
                raise ValueError(f"{name} returns {describe(cls)}, which two upcasters take")
            if cls in before:
                raise ValueError(f"{name} returns {describe(cls)}: its chain would have no end")
            found |= self.ends(self._next[cls], (*before, cls))
        return frozenset(found)

    def decoded(self, step: Step, decode: Decode, data: bytes | str) -> typing.Any:
        """Decode a stored message, and make a present one of it."""
        message = decode(data)
        while True:
            try:
                made = step.function(message)
            except Exception as error:
                raise UpcastError(
                    f"its upcaster {title_of(step.function)} raised {description(error)}"
                ) from error
            cls = type(made)
            if cls not in step.gives:
                raise UpcastError(
                    f"its upcaster {title_of(step.function)} returned {describe(made)}, and its"
                    f" annotation names no {cls.__name__}"
                )
            if made is None:
                raise SkippedMessage
            if cls in self._present:
                return made
            message, step = made, self._next[cls]
