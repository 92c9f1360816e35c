"""Classes of the four kinds that a store takes, made from fields; and what becomes of a message."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import msgspec
import pydantic

from pgstore import InvalidArgumentError
from pgstore._core.codec import TypedCodec

Kind = Literal["msgspec", "dataclass", "attrs", "pydantic"]
KINDS: tuple[Kind, ...] = ("msgspec", "dataclass", "attrs", "pydantic")

Outcome = Literal["comes back", "refused by the store", "refused by the write"]
AsJsonb = Callable[[str], str]
"""The text that PostgreSQL gives for a JSON text that was stored as jsonb."""

_MODEL = pydantic.ConfigDict(arbitrary_types_allowed=True)


def class_of(kind: Kind, name: str, fields: Mapping[str, Any], **defaults: Any) -> type:
    """A class with these fields, by name only; those with a default come last."""
    ordered = sorted(fields, key=lambda field: field in defaults)
    match kind:
        case "msgspec":
            with_defaults = [
                (field, fields[field], defaults[field])
                if field in defaults
                else (field, fields[field])
                for field in ordered
            ]
            return msgspec.defstruct(name, with_defaults, kw_only=True)
        case "dataclass":
            return dataclasses.make_dataclass(
                name,
                [
                    (
                        field,
                        fields[field],
                        dataclasses.field(default=defaults[field])
                        if field in defaults
                        else dataclasses.field(),
                    )
                    for field in ordered
                ],
                kw_only=True,
            )
        case "attrs":
            made: type = attrs.make_class(
                name,
                {
                    field: attrs.field(
                        type=fields[field], default=defaults.get(field, attrs.NOTHING)
                    )
                    for field in ordered
                },
                kw_only=True,
                slots=True,
            )
            return made
        case "pydantic":
            typed: dict[str, Any] = {
                field: (fields[field], defaults.get(field, ...)) for field in ordered
            }
            model: type = pydantic.create_model(name, __config__=_MODEL, **typed)
            return model


def outcome_of(
    cls: type, message: Any, as_jsonb: AsJsonb, seen: Callable[[Any], object] | None = None
) -> tuple[Outcome, str]:
    """What becomes of a message of a class, and the error if it is refused.

    Fails if the message would be stored and come back as another one, or not at all. `seen` is what
    to compare of its only field, where `==` does not tell.
    """
    try:
        codec: TypedCodec[Any] = TypedCodec({"Message": cls})
    except TypeError as error:
        return "refused by the store", str(error)
    try:
        name, data = codec.encode(message)
    except InvalidArgumentError as error:
        return "refused by the write", str(error)
    assert b"\n" not in data
    back = codec.decode(name, as_jsonb(data.decode()), "s", 1)
    assert type(back) is type(message)
    if seen is not None:
        assert seen(back.field) == seen(message.field)
        return "comes back", ""
    # A class without equality of its own has a repr.
    assert back == message or repr(back) == repr(message), f"{message} came back as {back}"
    return "comes back", ""
