"""How the messages of one class are written and read: by msgspec, or by pydantic for its models."""

import typing
from collections.abc import Callable
from functools import partial
from typing import Generic

import msgspec

from pgstore._core.differences import plain_with_sorted_sets
from pgstore._core.messages import E
from pgstore._core.shapes import (
    Shape,
    is_pydantic,
    names_only,
    pydantic_shape,
    shape_of,
    unreadable,
)

Hook = Callable[[typing.Any], object]
DecodeHook = Callable[[type, typing.Any], object]


class Coder(msgspec.Struct, Generic[E], frozen=True):
    """How the messages of one class are written and read."""

    name: str
    shape: Shape
    encode: Callable[[E], bytes]
    decode: Callable[[bytes | str], E]
    encode_any: Callable[[object], bytes]


def coder_of(
    name: str, cls: type, enc_hook: Hook | None, dec_hook: DecodeHook | None
) -> Coder[typing.Any]:
    """How messages of a class are written and read. TypeError if none of it could come back."""
    make = _pydantic_coder if is_pydantic(cls) else _msgspec_coder
    return make(name, cls, enc_hook, dec_hook)


def _msgspec_coder(
    name: str, cls: type, enc_hook: Hook | None, dec_hook: DecodeHook | None
) -> Coder[typing.Any]:
    shape = shape_of(cls, hooks=dec_hook is not None)
    hook = enc_hook and (lambda value: plain_with_sorted_sets(enc_hook(value), encoder.encode))
    encoder = msgspec.json.Encoder(enc_hook=hook)
    decoder: msgspec.json.Decoder[typing.Any] = msgspec.json.Decoder(cls, dec_hook=dec_hook)
    return Coder(name, shape, encoder.encode, decoder.decode, encoder.encode)


def _pydantic_coder(name: str, cls: type, *_: object) -> Coder[typing.Any]:
    from pydantic import TypeAdapter
    from pydantic_core import to_json

    adapter: TypeAdapter[typing.Any]
    try:
        adapter = TypeAdapter(cls)
        # A class with defer_build has no schema yet; nor has one whose annotations name no class.
        adapter.rebuild(raise_errors=True)
    except Exception as error:
        raise TypeError(unreadable(cls, error)) from error
    shape = pydantic_shape(cls, adapter.core_schema)
    # Written by the names of fields, and read by them. By aliases too, which others may have
    # written, unless such a name is that of another field.
    # Not the adapter's own methods, which take a fifth longer.
    serializer, validator = adapter.serializer, adapter.validator
    encode = partial(serializer.to_json, round_trip=True, by_alias=False, warnings="none")
    aliases = not names_only(adapter.core_schema)
    decode = partial(validator.validate_json, by_alias=aliases, by_name=True)
    return Coder(name, shape, encode, decode, to_json)
