"""Message types and their JSON.

Between a payload and the user's class there is one step: msgspec's, or pydantic's for its models.
Encoders and decoders are made once for a store. Each message is encoded and decoded again before it
is written: so no message is stored that its class cannot read, or that would come back as something
else.
"""

import json
import typing
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from operator import call
from threading import Lock
from typing import Generic, Protocol
from uuid import UUID

import msgspec

from pgstore._core.arguments import describe, wrong
from pgstore._core.coders import Coder, DecodeHook, Hook, coder_of
from pgstore._core.differences import (
    Difference,
    as_jsonb_gives_it,
    difference,
    not_finite,
    unencodable,
    with_sorted_sets,
)
from pgstore._core.ids import new_message_id_text
from pgstore._core.messages import E, RawMessage
from pgstore._core.shapes import Shape, by_name, not_a_type, refuse_type
from pgstore._core.text import TOO_DEEP
from pgstore._core.upcasters import Chains, Decode, SkippedMessage, steps_of
from pgstore.errors import InvalidArgumentError, MessageDecodeError, UnknownMessageTypeError

# Pydantic's errors, and msgspec's from 0.21 on, are ValueErrors. A TypeError: a list in a set[Any].
_UNREADABLE = (ValueError, TypeError, msgspec.MsgspecError)
_UNWRITABLE = (*_UNREADABLE, OverflowError, NotImplementedError)


class Codec(Protocol[E]):
    """The operations that a store needs for its messages."""

    def encode(self, message: E) -> tuple[str, bytes]:
        """The name of the message's type, and its JSON without a line break."""

    def encode_all(self, messages: tuple[E, ...]) -> tuple[Sequence[str], Sequence[bytes]] | None:
        """The names and the JSON of several messages; None if they have to be encoded singly."""

    def decode(self, type_name: str, data: str, stream: str, version: int) -> E:
        """The message; the place is for the error. Raises SkippedMessage if an upcaster does."""

    def decode_metadata(
        self, text: str, type_name: str, stream: str, version: int
    ) -> dict[str, object]:
        """The metadata of a message, which others may have written."""

    @property
    def types(self) -> frozenset[type]:
        """The message classes."""

    def names_of(self, types: typing.Iterable[str | type]) -> tuple[str, ...]:
        """Names of types: those given, and all names that lead to the classes given."""

    def classes_of(self, types: typing.Iterable[str | type]) -> frozenset[type]:
        """The classes given, and those that messages of the names given become."""

    @property
    def skipped(self) -> typing.Mapping[str, int]:
        """How many messages of each stored type were skipped."""


_decode_object = msgspec.json.Decoder(dict[str, typing.Any]).decode


def _decode_metadata(text: str, type_name: str, stream: str, version: int) -> dict[str, object]:
    try:
        return _decode_object(text)
    except (*_UNREADABLE, RecursionError) as error:
        raise MessageDecodeError(
            f"cannot decode metadata: {error}: the view all_messages shows it, redact_message"
            " replaces it",
            stream,
            version,
            type_name,
        ) from error


class TypedCodec(Generic[E]):
    """Messages of the user's classes."""

    def __init__(
        self,
        messages: object,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        upcasters: object = (),
    ) -> None:
        for name, hook in {"enc_hook": enc_hook, "dec_hook": dec_hook}.items():
            if hook is not None and not callable(hook):
                raise TypeError(f"{name} must be a function, not {describe(hook)}")
        self._coders: dict[type, Coder[E]] = {}
        self._decoders: dict[str, Callable[[bytes | str], E]] = {}
        self._names: dict[type, list[str]] = {}
        for name, cls in by_name(messages).items():
            if cls not in self._coders:
                self._coders[cls] = coder_of(name, cls, enc_hook, dec_hook)
            self._decoders[name] = self._coders[cls].decode
            self._names.setdefault(cls, []).append(name)
        self.skipped: dict[str, int] = {}
        self._counting = Lock()
        steps = steps_of(upcasters, self._decoders)
        chains = Chains(steps, self._coders)
        for name, step in steps.items():
            for cls in chains.ends(step):
                self._names[cls].append(name)
            decode: Decode = _decode_object
            if step.takes is not dict:
                decode = coder_of(name, step.takes, enc_hook, dec_hook).decode
            self._decoders[name] = partial(chains.decoded, step, decode)
        # The usual classes in one step: encoding is on the way of every write.
        self._quick = {
            cls: (coder.name, coder.encode, coder.decode)
            for cls, coder in self._coders.items()
            if coder.shape == Shape(equality=True, sets=False, verbatim=True)
        }

    @property
    def types(self) -> frozenset[type]:
        """The message classes."""
        return frozenset(self._coders)

    def classes_of(self, types: typing.Iterable[str | type]) -> frozenset[type]:
        """The classes given, and those that messages of the names given become."""
        given = tuple(types)
        self.names_of(given)  # refuses other classes
        named = {each for each in given if isinstance(each, str)}
        return frozenset(
            cls for cls, names in self._names.items() if cls in given or named & set(names)
        )

    def names_of(self, types: typing.Iterable[str | type]) -> tuple[str, ...]:
        """Names of types: those given, and all names that lead to the classes given."""
        names: list[str] = []
        for each in types:
            if isinstance(each, str):
                names.append(each)
                continue
            found = self._names.get(each) if issubclass(type(each), type) else None
            if found is None:
                raise InvalidArgumentError(not_a_type(each, self._coders))
            names.extend(found)
        return tuple(names)

    def encode(self, message: E) -> tuple[str, bytes]:
        try:
            name, encode, decode = self._quick[type(message)]
            data = encode(message)
            if decode(data) == message:
                return name, data
        except Exception:
            pass  # another class, or an error that is raised below
        coder = self._coders.get(type(message))
        if coder is None:
            _refuse_class(message)
            raise InvalidArgumentError(not_a_type(type(message), self._coders))
        try:
            data = _encoded(coder, message)
            _refuse_change(coder, message, data)
        except RecursionError as error:
            raise InvalidArgumentError(f"this {coder.name} is {TOO_DEEP}") from error
        return coder.name, data

    def encode_all(self, messages: tuple[E, ...]) -> tuple[Sequence[str], Sequence[bytes]] | None:
        # The usual classes, as in `encode`, in loops that run in C.
        try:
            coders = map(self._quick.__getitem__, map(type, messages))
            names, encoders, decoders = zip(*coders, strict=True)
            data = tuple(map(call, encoders, messages))
            if tuple(map(call, decoders, data)) == messages:
                return names, data
        except Exception:
            pass
        return None

    def decode(self, type_name: str, data: str, stream: str, version: int) -> E:
        try:
            return self._decoders[type_name](data)
        except SkippedMessage:
            with self._counting:
                self.skipped[type_name] = self.skipped.get(type_name, 0) + 1
            raise
        except KeyError:
            if type_name in self._decoders:
                raise
            raise UnknownMessageTypeError(
                "unknown message type: add its class to messages=, or read it with store.raw",
                stream,
                version,
                type_name,
            ) from None
        except (*_UNREADABLE, RecursionError) as error:
            raise MessageDecodeError(
                f"cannot decode message: {error}", stream, version, type_name
            ) from error

    decode_metadata = staticmethod(_decode_metadata)


def _encoded(coder: Coder[E], message: E) -> bytes:
    """The JSON of a message, on one line. InvalidArgumentError if it has none."""
    try:
        data = coder.encode(message)
        if coder.shape.sets:
            data = with_sorted_sets(message, data)
    except _UNWRITABLE as error:
        place = _place(*unencodable(message, coder.encode_any))
        raise InvalidArgumentError(
            f"this {coder.name} cannot be written: {place}: {str(error) or 'it has no JSON'}: give "
            "the field another type, or a serializer or hook"
        ) from error
    return one_line(data)


def _refuse_change(coder: Coder[E], message: E, data: bytes) -> None:
    """Raise InvalidArgumentError if the message would not come back as it is."""
    given = data if coder.shape.verbatim else as_jsonb_gives_it(data)
    try:
        back = coder.decode(given)
        if coder.shape.equality and _equal(message, back):
            return
        found = difference(message, back)
    except _UNREADABLE as error:
        found = not_finite(message)
        if found is None:
            raise InvalidArgumentError(
                f"this {coder.name} could not be read back: {_first_line(error)}: give its fields "
                "values of their types"
            ) from error
    if found is not None:
        raise InvalidArgumentError(
            f"this {coder.name} would not come back as it is: {_told(found)}"
        )


def _equal(message: object, back: object) -> bool:
    try:
        return bool(message == back)
    except Exception:  # of a class of the caller's: `difference` looks closer
        return False


def _told(found: Difference) -> str:
    """Where a message differs from the one that would come back, and the remedy."""
    sent, back = type(found.sent), type(found.back)
    text = _place(found.path, found.sent)
    if not_finite(found.sent) is not None:
        return f"{text}, and JSON has no NaN and no infinity: write None, or a text"
    if isinstance(found.sent, OrderedDict):
        return f"{text}, and jsonb keeps no order of keys: use a list of pairs"
    text += f", and would be {describe(found.back)}"
    if sent is not back and issubclass(sent, back):
        return f"{text}: annotate the field with {sent.__name__}, or with a union of such classes"
    if sent is not back:
        return f"{text}: annotate the field with {sent.__name__}"
    return (
        f"{text}: its class does not write it, or changes it when it is read: make it a field that "
        "the class leaves alone"
    )


def _place(path: str, value: object) -> str:
    return f"{path.removeprefix('.') or 'it'} is {describe(value)}"


def _first_line(error: Exception) -> str:
    """Return the first fault that an error names."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors()[0]  # pydantic takes three lines for each
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))


class RawCodec:
    """Messages of any type, as they are."""

    types: frozenset[type] = frozenset({RawMessage})
    skipped: typing.Mapping[str, int] = {}

    def classes_of(self, types: typing.Iterable[str | type]) -> frozenset[type]:
        return self.types if self.names_of(types) else frozenset()

    def names_of(self, types: typing.Iterable[str | type]) -> tuple[str, ...]:
        names = tuple(types)
        for each in names:
            if not isinstance(each, str):
                raise InvalidArgumentError(
                    f"a raw store knows no classes, only names of types: not {describe(each)}"
                )
        return typing.cast(tuple[str, ...], names)

    def encode(self, message: RawMessage) -> tuple[str, bytes]:
        if not isinstance(message, RawMessage):
            raise wrong("a raw store writes a RawMessage(type, data)", message)
        refuse_type(message.type)
        if not isinstance(message.data, bytes):
            raise InvalidArgumentError(
                "data must be JSON in bytes, as of msgspec.json.encode,"
                f" not {describe(message.data)}",
                {"argument": "data"},
            )
        try:
            if "\0" in message.data.decode():
                raise ValueError("it has the character NUL")
            return message.type, one_line(message.data)
        except RecursionError as error:
            raise InvalidArgumentError(f"this {message.type} is {TOO_DEEP}") from error
        except _UNREADABLE as error:
            raise InvalidArgumentError(f"not JSON in UTF-8: {error}") from error

    def encode_all(self, messages: tuple[RawMessage, ...]) -> None:
        return None

    def decode(self, type_name: str, data: str, stream: str, version: int) -> RawMessage:
        return RawMessage(type_name, data.encode())

    def decode_metadata(
        self, text: str, type_name: str, stream: str, version: int
    ) -> dict[str, object]:
        """The metadata; where a number is beyond Python's, with all its numbers as Decimals."""
        try:
            return _decode_metadata(text, type_name, stream, version)
        except MessageDecodeError:
            with suppress(RecursionError):
                found = json.loads(text, parse_int=Decimal, parse_float=Decimal)
                if isinstance(found, dict):
                    return found
            raise


def codec_of(
    messages: object,
    enc_hook: Hook | None,
    dec_hook: DecodeHook | None,
    upcasters: object = (),
) -> Codec[typing.Any]:
    """The codec of these message types."""
    if messages is not RawMessage:
        return TypedCodec(messages, enc_hook, dec_hook, upcasters)
    if upcasters:
        raise TypeError("a raw store reads messages as they are stored: it takes no upcasters")
    return RawCodec()


def one_line(data: bytes) -> bytes:
    """JSON without line breaks, which may only stand between its tokens."""
    return msgspec.json.format(data, indent=-1) if b"\n" in data else data


def _refuse_class(message: object) -> None:
    if isinstance(message, type):
        raise InvalidArgumentError(
            f"{describe(message)} is a class: pass a message, {describe(message)}(…)"
        )


def message_id_of(message: object) -> UUID | None:
    """The id that the message itself carries, if it does."""
    get_message_id = getattr(message, "get_message_id", None)
    if get_message_id is None:
        return None
    _refuse_class(message)
    message_id = get_message_id() if callable(get_message_id) else None
    if message_id is None and isinstance(message, RawMessage):
        return None
    if not isinstance(message_id, UUID):
        raise InvalidArgumentError(
            f"get_message_id() of {type(message).__name__} must return a uuid.UUID"
        )
    return message_id


def message_id_text(message: object) -> str:
    """The id that the message itself carries, or a new one."""
    message_id = message_id_of(message)
    return new_message_id_text() if message_id is None else message_id.hex
