"""Batches of messages as the statements take them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from pgstore._core.arguments import count, several
from pgstore._core.arrays import JsonArray, TextArray, UuidArray
from pgstore._core.codec import Codec, message_id_of
from pgstore._core.ids import new_message_id, new_message_ids
from pgstore._core.messages import E
from pgstore._core.metadata import Metadata, current_context, text_in_context
from pgstore._core.tags import carries_tags, given_tags, tags_json
from pgstore.errors import InvalidArgumentError

T = TypeVar("T")
R = TypeVar("R")


Arrays = tuple[TextArray, JsonArray, JsonArray | None]


def encoded_batch(
    codec: Codec[E],
    messages: tuple[E, ...],
    metadata: Metadata | Sequence[Metadata | None] | None,
    first: int = 0,
) -> tuple[Arrays, UuidArray]:
    """The types, payloads, metadata and ids of messages: arrays with an element for each.

    `first` is the index of the first one for the caller.
    """
    encoded = codec.encode_all(messages)
    if encoded is None:
        pairs = _of_each("messages", codec.encode, messages, first)
        encoded = [name for name, _ in pairs], [data for _, data in pairs]
    names, data = encoded
    types = TextArray(list(map(str.encode, names)))
    arrays = (types, JsonArray(data), _metadata_array(metadata, len(messages)))
    return arrays, UuidArray(_ids_of(messages, first))


def encoded_tags(
    messages: tuple[E, ...], tags: Iterable[str] | None, first: int = 0
) -> JsonArray | None:
    """The tags of messages, and those given for all; None if there are none."""
    given = given_tags(tags)
    if not given and not any(map(carries_tags, set(map(type, messages)))):
        return None
    found = _of_each("messages", partial(tags_json, given=given), messages, first)
    return JsonArray(found) if any(found) else None


def _ids_of(messages: tuple[E, ...], first: int) -> list[bytes]:
    """The ids that messages carry, and new ones for the others."""
    given: list[Any] = [getattr(each, "get_message_id", None) for each in messages]
    if given.count(None) == len(messages):
        return new_message_ids(len(messages))
    with suppress(TypeError):  # some have none, or it is no function
        ids = [get_message_id() for get_message_id in given]
        if set(map(type, ids)) == {UUID}:
            return [each.int.to_bytes(16) for each in ids]
    return _of_each("messages", _id_of, messages, first)


def _id_of(message: object) -> bytes:
    return (message_id_of(message) or new_message_id()).bytes


def _metadata_array(
    metadata: Metadata | Sequence[Metadata | None] | None, messages: int
) -> JsonArray | None:
    if metadata is None and current_context() is None:
        return None
    if metadata is None or isinstance(metadata, Mapping):
        return JsonArray([_metadata_bytes(metadata)] * messages)
    given = several("metadata", metadata) or ()
    if len(given) != messages:
        raise InvalidArgumentError(
            f"metadata has {len(given)} elements for {messages} messages:"
            " give one for each, None where there is none, or one object for all"
        )
    return JsonArray(_of_each("metadata", _metadata_bytes, given))


def _metadata_bytes(metadata: Metadata | None) -> bytes | None:
    text = text_in_context(metadata)
    return None if text is None else text.encode()


def _of_each(argument: str, make: Callable[[T], R], values: Iterable[T], first: int = 0) -> list[R]:
    """Make something of each value; an error tells of which one, counted from `first`."""
    made: list[R] = []
    try:
        made.extend(map(make, values))  # keeps what was made before an error
    except InvalidArgumentError as error:
        index = first + len(made)
        error.args = (f"{argument}[{index}]: {error}",)
        error.detail = {**error.detail, "index": index}
        raise
    return made


def known_ids(messages: Iterable[object], expected_version: int) -> UuidArray:
    """The ids of messages that must have one, the first `expected_version` of which are stored."""
    expected_version = count("expected_version", expected_version)
    found = _of_each("messages", _known_id, messages)
    if expected_version > len(found):
        raise InvalidArgumentError(
            f"expected_version must be between 0 and the number of messages, {len(found)},"
            f" not {expected_version}"
        )
    return UuidArray(found[:expected_version])


def _known_id(message: object) -> bytes:
    message_id = message_id_of(message)
    if message_id is None:
        raise InvalidArgumentError(
            f"synchronize compares messages by their ids: this {type(message).__name__} has none,"
            " its class needs a get_message_id()"
        )
    return message_id.bytes
