"""The classes that can be messages: checked once, when a store is made.

A class whose messages cannot come back as they were is refused here if its shape shows that. If
only a value shows it, the message is refused when it is written.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import inspect as m

from pgstore._core.arguments import describe
from pgstore._core.failures import description
from pgstore.errors import InvalidArgumentError

KINDS = "a msgspec.Struct, a dataclass, an attrs class or a pydantic model"
_MAX_TYPE_BYTES = 255

# No control characters: a name is printed in terminals, and stands in files of lines.
_NAMES = f"must be 1 to {_MAX_TYPE_BYTES} bytes of UTF-8 without control characters"

_JSON: tuple[object, ...] = (None, True, 0, 0.0, "", [], {})


class Shape(msgspec.Struct, frozen=True):
    """The properties of a class that its encoder must respect.

    `equality`: `==` compares all of a message. `sets`: the class has sets. `verbatim`: the JSON is
    read as it is written, on one line, and with no number that may be a float or an integer.
    """

    equality: bool
    sets: bool
    verbatim: bool


def by_name(messages: object) -> dict[str, type]:
    """Message types by name, from a class, a union, or a mapping of names to classes."""
    if isinstance(messages, list | tuple | set | frozenset):
        union = " | ".join(describe(each) for each in messages)
        raise TypeError(f"messages takes a union: {union}, not a {type(messages).__name__}")
    if isinstance(messages, Mapping):
        named = dict(messages)
    else:
        named = {}
        for cls in members(messages):
            name = cls.__name__ if isinstance(cls, type) else describe(cls)
            if named.setdefault(name, cls) is not cls:
                raise ValueError(f"two message types are called {name}: name them with a mapping")
    if not named:
        raise ValueError("a store needs at least one message type")
    for name, cls in named.items():
        if not is_type_name(name):
            raise ValueError(f"the name of a message type {_NAMES}, not {describe(name)}")
        if not isinstance(cls, type) or cls is types.NoneType:  # None: an Optional by mistake
            raise TypeError(f"message type {name} must be a class, not {describe(cls)}")
    return named


def members(annotation: typing.Any) -> list[typing.Any]:
    """The members of a union; another annotation alone."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return [each for member in typing.get_args(annotation) for each in members(member)]
    if typing.get_origin(annotation) is typing.Annotated:
        return members(typing.get_args(annotation)[0])
    if type(annotation).__name__ == "TypeAliasType":  # type Event = A | B, from Python 3.12 on
        return members(annotation.__value__)
    return [annotation]


def is_type_name(name: object) -> bool:
    """Tell whether this can name a type of messages."""
    try:
        return (
            isinstance(name, str)
            and 0 < len(name.encode()) <= _MAX_TYPE_BYTES
            and not any(ord(character) < 32 or character == "\x7f" for character in name)
        )
    except UnicodeEncodeError:  # half of a character
        return False


def refuse_type(name: object) -> None:
    """Refuse what cannot name a type of messages."""
    if not is_type_name(name):
        raise InvalidArgumentError(f"type {_NAMES}, not {describe(name)}", {"argument": "type"})


def is_pydantic(cls: type) -> bool:
    """Tell whether pydantic encodes and decodes the class: a model, or a dataclass of its own."""
    return hasattr(cls, "__pydantic_validator__")


def shape_of(cls: type, *, hooks: bool) -> Shape:
    """The shape of a class that msgspec decodes. TypeError if no message of it could come back."""
    try:
        found = list(_reachable(cls))
    except TypeError as error:  # an InitVar, for example
        raise TypeError(f"{cls.__name__} cannot be a message: {error}") from error
    except Exception as error:  # annotations that are evaluated can raise anything
        raise TypeError(unreadable(cls, error)) from error
    if not isinstance(found[0], m.StructType | m.DataclassType | m.CustomType) or cls is object:
        raise TypeError(
            f"{cls.__name__} is no message class: use {KINDS}; messages of any type are written "
            "and read with the raw store, store.raw"
        )
    equality, sets, verbatim = True, False, not hooks
    for each in found:
        match each:
            case m.StructType(cls=kind):
                equality = equality and kind.__eq__ is msgspec.Struct.__eq__
            case m.DataclassType(cls=kind):
                _refuse_private(cls, kind)
                equality = equality and _compares_all(kind)
            case m.CustomType(cls=kind):
                if not hooks and not _is_json(kind):
                    raise TypeError(_not_decoded(cls, kind))
                verbatim = False
            case m.SetType() | m.FrozenSetType():
                sets = True
            case m.AnyType() | m.RawType():
                verbatim = False
            case m.UnionType(types=members):
                numbers = [isinstance(member, m.IntType | m.FloatType) for member in members]
                verbatim = verbatim and sum(numbers) < 2
    return Shape(equality, sets, verbatim)


def unreadable(cls: type, error: Exception) -> str:
    """Why a class with such annotations cannot be a message, and what to do."""
    fault = description(error).partition("\n")[0]  # without a link of pydantic's
    return (
        f"{cls.__name__} cannot be a message: its annotations cannot be read: {fault}: name classes"
        " that its module defines or imports before the store is made"
    )


def _reachable(cls: type) -> Iterator[m.Type]:
    """The type of a class, and all types in it."""
    waiting: list[typing.Any] = [m.type_info(cls)]
    seen: dict[int, object] = {}  # keeps them, so that no id is given twice
    while waiting:
        each = waiting.pop()
        if isinstance(each, tuple):
            waiting.extend(each)
        elif isinstance(each, m.Type | m.Field) and id(each) not in seen:
            seen[id(each)] = each
            if isinstance(each, m.Type):
                yield each
            waiting.extend(getattr(each, name) for name in each.__struct_fields__)


def _is_json(kind: type) -> bool:
    """Tell whether a value of plain JSON can be of a class, as `object` is of all."""
    try:
        return any(isinstance(value, kind) for value in _JSON)
    except TypeError:  # a protocol, or a generic class
        return False


def _refuse_private(cls: type, kind: type) -> None:
    for field in getattr(kind, "__attrs_attrs__", ()):
        if field.name.startswith("_"):
            raise TypeError(
                f"{cls.__name__} cannot be a message: msgspec does not write the private field "
                f"{field.name} of the attrs class {kind.__name__}: name it without an underscore"
            )


def _not_decoded(cls: type, kind: type) -> str:
    if kind is cls:
        return f"msgspec cannot decode {cls.__name__}: use {KINDS}, or pass enc_hook and dec_hook"
    if is_pydantic(kind):
        return (
            f"{cls.__name__} cannot be a message: its {kind.__name__} is a pydantic model, which "
            f"msgspec cannot decode: make {cls.__name__} a pydantic model too"
        )
    return (
        f"{cls.__name__} cannot be a message: msgspec cannot decode its {kind.__name__}: pass "
        "enc_hook and dec_hook"
    )


def _compares_all(kind: type) -> bool:
    """Tell whether `==` of a dataclass or an attrs class is the generated one, of all fields."""
    kind = typing.get_origin(kind) or kind
    twin: type
    if dataclasses.is_dataclass(kind):
        twin = dataclasses.make_dataclass("Twin", [each.name for each in dataclasses.fields(kind)])
    else:
        import attrs

        twin = attrs.make_class("Twin", [each.name for each in attrs.fields(kind)])
    ours, theirs = (getattr(each.__eq__, "__code__", None) for each in (kind, twin))
    return (
        ours is not None
        and theirs is not None
        and (ours.co_code, ours.co_names, ours.co_consts)
        == (theirs.co_code, theirs.co_names, theirs.co_consts)
    )


def pydantic_shape(cls: type, schema: object) -> Shape:
    """The shape of a class that pydantic decodes, from its core schema."""
    from pydantic import BaseModel

    equality, sets, verbatim = True, False, True
    for node in _nodes(schema):
        match node:
            case {"type": "model", "cls": kind}:
                equality = equality and kind.__eq__ is BaseModel.__eq__
            case {"type": "dataclass", "cls": kind}:
                equality = equality and _compares_all(kind)
            case {"type": "ordered-dict"}:
                equality = False
            case {"type": "set" | "frozenset"}:
                sets = True
            case {"type": "any" | "union"}:
                verbatim = False
            case {"init_only": True, "name": name}:
                raise TypeError(
                    f"{cls.__name__} cannot be a message: no message keeps what {name} was, an "
                    "InitVar: make it a field"
                )
    return Shape(equality, sets, verbatim)


def names_only(schema: object) -> bool:
    """Tell whether a field of a pydantic class has the name of another one as its alias."""
    for node in _nodes(schema):
        match node:
            case {"type": "model-fields" | "typed-dict", "fields": dict(fields)}:
                aliases = {name: field.get("validation_alias") for name, field in fields.items()}
            case {"type": "dataclass-args", "fields": list(fields)}:
                aliases = {field["name"]: field.get("validation_alias") for field in fields}
            case _:
                continue
        for name, alias in aliases.items():
            if any(first in aliases and first != name for first in _first_keys(alias)):
                return True
    return False


def _first_keys(alias: str | list[typing.Any] | None) -> Iterator[object]:
    """The keys where the aliases of a field begin: one, a path, or several of these."""
    if isinstance(alias, str):
        yield alias
    elif alias:
        paths = alias if isinstance(alias[0], list) else [alias]
        yield from (path[0] for path in paths)


def _nodes(schema: object) -> Iterator[dict[str, typing.Any]]:
    """All dictionaries in a core schema."""
    waiting = [schema]
    seen = set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)


def not_a_type(given: object, known: typing.Iterable[type]) -> str:
    """Say that a class is none of the store's, which one of the same name may be."""
    classes = sorted(known, key=lambda cls: cls.__name__)
    text = f"{describe(given)} is not a message type of this store; it has: "
    text += ", ".join(cls.__name__ for cls in classes)
    if not isinstance(given, type) or given.__name__ not in [cls.__name__ for cls in classes]:
        text += ". Add it to messages= where the store is made"
    else:
        text += (
            f". That is another class of the same name: {given.__name__} was defined again after "
            "the store was made, or in another module; make the store with this one"
        )
    return text
