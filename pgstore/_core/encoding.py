"""Batches of messages, and metadata, as the statements take them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic

import msgspec

from pgstore._core.arguments import count, describe, several
from pgstore._core.codec import TOO_DEEP, Codec, message_id_of, message_id_text
from pgstore._core.differences import plain_with_sorted_sets, unencodable
from pgstore._core.messages import E
from pgstore.errors import InvalidArgumentError

Metadata = Mapping[str, object]


def _plain(value: object) -> object:
    """A mapping of any class, as msgspec takes it."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no JSON")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def metadata_text(metadata: Metadata) -> str:
    """Metadata as JSON of one line."""
    try:
        text = _encode(metadata).decode()
        if "[" in text:  # there may be a set among the arrays
            text = _encode(plain_with_sorted_sets(metadata, _encode)).decode()
    except RecursionError as error:
        raise InvalidArgumentError(f"metadata is {TOO_DEEP}") from error
    except (TypeError, ValueError, OverflowError) as error:
        path, value = unencodable(metadata, _encode)
        raise InvalidArgumentError(
            f"metadata{path} cannot be written: it is {describe(value)}: {error}"
        ) from error
    if "null" in text and _has_no_number(msgspec.to_builtins(metadata, enc_hook=_plain)):
        # JSON has neither: the encoder writes null for them.
        raise InvalidArgumentError("metadata cannot hold a NaN or an infinity: JSON has none")
    return text


def _has_no_number(value: object) -> bool:
    """Tell whether there is a float in it that is no number."""
    if isinstance(value, dict):
        return any(map(_has_no_number, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_has_no_number, value))
    return isinstance(value, float) and not math.isfinite(value)


class EncodedBatch(Generic[E]):
    """The parameters of a batch: one text each, with a line for each message."""

    def __init__(
        self,
        codec: Codec[E],
        messages: Sequence[E],
        metadata: Metadata | Sequence[Metadata | None] | None,
    ) -> None:
        encoded = [codec.encode(message) for message in messages]
        types = "\n".join([name for name, _ in encoded])
        data = b"\n".join([data for _, data in encoded]).decode()
        self.lines = (types, data, self._metadata_lines(metadata, len(messages)))
        self.message_ids = "\n".join([message_id_text(message) for message in messages])

    @staticmethod
    def _metadata_lines(
        metadata: Metadata | Sequence[Metadata | None] | None, messages: int
    ) -> str | None:
        if metadata is None:
            return None
        if isinstance(metadata, Mapping):
            return "\n".join([metadata_text(metadata)] * messages)
        given = several("metadata", metadata) or ()
        if len(given) != messages:
            raise InvalidArgumentError(
                f"metadata has {len(given)} elements for {messages} messages:"
                " give one for each, None where there is none, or one object for all"
            )
        if not any(each is not None for each in given):
            return None  # one empty line would be no line
        return "\n".join(["" if each is None else metadata_text(each) for each in given])


def known_ids(messages: Iterable[object], expected_version: int) -> list[str]:
    """The ids of messages that must have one, the first `expected_version` of which are stored."""
    expected_version = count("expected_version", expected_version)
    found = []
    for message in messages:
        message_id = message_id_of(message)
        if message_id is None:
            raise InvalidArgumentError(
                f"synchronize compares messages by their ids: {type(message).__name__} needs a"
                " get_message_id()"
            )
        found.append(str(message_id))
    if expected_version > len(found):
        raise InvalidArgumentError(
            f"expected_version must be between 0 and the number of messages, {len(found)},"
            f" not {expected_version}"
        )
    return found[:expected_version]
