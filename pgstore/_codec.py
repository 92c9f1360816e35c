"""Message types and their JSON.

Between a payload and the user's class there is one step: msgspec's, or pydantic's for its models.
Encoders and decoders are made once for a store.
"""

import types
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Generic, Protocol
from uuid import UUID

import msgspec

from pgstore._arguments import shown
from pgstore._messages import E, RawMessage
from pgstore.errors import InvalidArgumentError, MessageDecodeError, UnknownMessageTypeError

Hook = Callable[[typing.Any], object]
DecodeHook = Callable[[type, typing.Any], object]

_MAX_TYPE_BYTES = 255

# Control characters, because a line break ends a name in a batch.
_NAMES = f"must be 1 to {_MAX_TYPE_BYTES} bytes of UTF-8 without control characters"

# Pydantic's errors, and msgspec's from 0.21 on, are ValueErrors.
_UNREADABLE = (ValueError, msgspec.MsgspecError)


class Codec(Protocol[E]):
    """What a store needs to know of its messages."""

    def encode(self, message: E) -> tuple[str, bytes]:
        """The name of the message's type, and its JSON without a line break."""

    def decode(self, type_name: str, data: str, stream: str, version: int) -> E:
        """The message; the place is for the error."""

    @property
    def types(self) -> frozenset[type]:
        """The message classes."""

    def names_of(self, types: typing.Iterable[str | type]) -> tuple[str, ...]:
        """Names of types: those given, and all names of the classes given."""


class TypedCodec(Generic[E]):
    """Messages of the user's classes."""

    def __init__(
        self, messages: object, enc_hook: Hook | None = None, dec_hook: DecodeHook | None = None
    ) -> None:
        named = _by_name(messages)
        self._classes = named
        encoder = msgspec.json.Encoder(enc_hook=enc_hook)
        self._encoders: dict[type, tuple[str, Callable[[E], bytes]]] = {}
        self._decoders: dict[str, Callable[[str], E]] = {}
        for name, cls in named.items():
            encode, self._decoders[name] = _functions(cls, encoder, dec_hook)
            self._encoders.setdefault(cls, (name, encode))

    @property
    def types(self) -> frozenset[type]:
        """The message classes."""
        return frozenset(self._encoders)

    def names_of(self, types: typing.Iterable[str | type]) -> tuple[str, ...]:
        """Names of types: those given, and all names of the classes given."""
        names: list[str] = []
        for each in types:
            if isinstance(each, str):
                names.append(each)
                continue
            found = [name for name, cls in self._classes.items() if cls is each]
            if not found:
                raise InvalidArgumentError(not_a_type(each, self._encoders))
            names.extend(found)
        return tuple(names)

    def encode(self, message: E) -> tuple[str, bytes]:
        try:
            name, encode = self._encoders[type(message)]
        except KeyError:
            if isinstance(message, type):
                raise InvalidArgumentError(
                    f"{shown(message)} is a class: pass a message, {shown(message)}(…)"
                ) from None
            raise InvalidArgumentError(not_a_type(type(message), self._encoders)) from None
        try:
            data = encode(message)
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"not a text of Unicode characters: {error}") from error
        if data.find(b"null") >= 0:  # in half the time of `in`
            # JSON has no NaN and no infinity: both encoders write null for them.
            try:
                self._decoders[name](data.decode())
            except _UNREADABLE as error:
                raise InvalidArgumentError(
                    f"this {name} could not be read back: {error} (is there a NaN or an infinity?)"
                ) from error
        return name, one_line(data)

    def decode(self, type_name: str, data: str, stream: str, version: int) -> E:
        try:
            return self._decoders[type_name](data)
        except KeyError:
            if type_name in self._decoders:
                raise
            raise UnknownMessageTypeError(
                "unknown message type: add its class to messages=, or read it with store.raw",
                stream,
                version,
                type_name,
            ) from None
        except _UNREADABLE as error:
            raise MessageDecodeError(
                f"cannot decode message: {error}", stream, version, type_name
            ) from error


class RawCodec:
    """Messages of any type, as they are."""

    types: frozenset[type] = frozenset({RawMessage})

    def names_of(self, types: typing.Iterable[str | type]) -> tuple[str, ...]:
        names = tuple(types)
        for each in names:
            if not isinstance(each, str):
                raise InvalidArgumentError(
                    f"a raw store knows no classes, only names of types: not {shown(each)}"
                )
        return typing.cast(tuple[str, ...], names)

    def encode(self, message: RawMessage) -> tuple[str, bytes]:
        if not isinstance(message, RawMessage):
            raise InvalidArgumentError(
                f"a raw store writes a RawMessage(type, data), not {shown(message)}"
            )
        refuse_type(message.type)
        if not isinstance(message.data, bytes):
            raise InvalidArgumentError(
                f"data must be JSON in bytes, as of msgspec.json.encode, not {shown(message.data)}",
                {"argument": "data"},
            )
        try:
            message.data.decode()
            return message.type, one_line(message.data)
        except _UNREADABLE as error:
            raise InvalidArgumentError(f"not JSON in UTF-8: {error}") from error

    def decode(self, type_name: str, data: str, stream: str, version: int) -> RawMessage:
        return RawMessage(type_name, data.encode())


def not_a_type(given: object, known: typing.Iterable[type]) -> str:
    """Say that a class is none of the store's, which one of the same name may be."""
    classes = sorted(known, key=lambda cls: cls.__name__)
    text = f"{shown(given)} is not a message type of this store; it has: "
    text += ", ".join(cls.__name__ for cls in classes)
    if not isinstance(given, type) or given.__name__ not in [cls.__name__ for cls in classes]:
        text += ". Add it to messages= where the store is made"
    else:
        text += (
            f". That is another class of the same name: {given.__name__} was defined again after "
            "the store was made, or in another module; make the store with this one"
        )
    return text


def one_line(data: bytes) -> bytes:
    """JSON without line breaks, which may only stand between its tokens.

    Batches rely on it: there a line break ends a payload.
    """
    return msgspec.json.format(data, indent=-1) if b"\n" in data else data


def refuse_type(name: object) -> None:
    """Refuse what cannot name a type of messages."""
    if not isinstance(name, str) or not _is_type_name(name):
        raise InvalidArgumentError(f"type {_NAMES}, not {shown(name)}", {"argument": "type"})


def message_id_of(message: object) -> UUID | None:
    """The id that the message itself carries, if it does."""
    get_message_id = getattr(message, "get_message_id", None)
    if get_message_id is None:
        return None
    message_id = get_message_id()
    if not isinstance(message_id, UUID):
        raise InvalidArgumentError(
            f"get_message_id() of {type(message).__name__} must return a uuid.UUID"
        )
    return message_id


def _by_name(messages: object) -> dict[str, type]:
    """Message types by name, from a class, a union, or a mapping of names to classes."""
    if isinstance(messages, list | tuple | set | frozenset):
        union = " | ".join(shown(each) for each in messages)
        raise TypeError(f"messages takes a union: {union}, not a {type(messages).__name__}")
    if isinstance(messages, Mapping):
        named = dict(messages)
    else:
        named = {}
        for cls in _members(messages):
            name = getattr(cls, "__name__", repr(cls))
            if named.setdefault(name, cls) is not cls:
                raise ValueError(f"two message types are called {name}: name them with a mapping")
    if not named:
        raise ValueError("a store needs at least one message type")
    for name, cls in named.items():
        if not isinstance(name, str) or not _is_type_name(name):
            raise ValueError(f"the name of a message type {_NAMES}, not {shown(name)}")
        if not isinstance(cls, type) or cls is types.NoneType:  # None: an Optional by mistake
            raise TypeError(f"message type {name} must be a class, not {cls!r}")
    return named


def _members(messages: object) -> list[typing.Any]:
    if isinstance(messages, types.UnionType) or typing.get_origin(messages) is typing.Union:
        return [member for arg in typing.get_args(messages) for member in _members(arg)]
    if typing.get_origin(messages) is typing.Annotated:
        return _members(typing.get_args(messages)[0])
    if type(messages).__name__ == "TypeAliasType":  # type Event = A | B, from Python 3.12 on
        return _members(getattr(messages, "__value__"))  # noqa: B009
    return [messages]


def _is_type_name(name: str) -> bool:
    return 0 < len(name.encode(errors="replace")) <= _MAX_TYPE_BYTES and not any(
        ord(character) < 32 or character == "\x7f" for character in name
    )


def _functions(
    cls: type, encoder: msgspec.json.Encoder, dec_hook: DecodeHook | None
) -> tuple[Callable[[typing.Any], bytes], Callable[[str], typing.Any]]:
    """The encoder and the decoder of a class; TypeError if it has none."""
    if hasattr(cls, "__pydantic_validator__"):
        from pydantic import TypeAdapter

        adapter: TypeAdapter[typing.Any] = TypeAdapter(cls)
        # By name too: pydantic writes names, and reads only aliases where a field has one.
        return adapter.dump_json, partial(adapter.validate_json, by_alias=True, by_name=True)
    if dec_hook is None and isinstance(msgspec.inspect.type_info(cls), msgspec.inspect.CustomType):
        raise TypeError(
            f"msgspec cannot decode {cls.__name__}: use a msgspec.Struct, a dataclass, an attrs "
            "class or a pydantic model, or pass enc_hook and dec_hook"
        )
    return encoder.encode, msgspec.json.Decoder(cls, dec_hook=dec_hook).decode
