"""Stored messages and ids that are the same in each run."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from pgstore._core.arguments import aware, count, describe, text_of, uuid_text
from pgstore._core.codec import Codec, RawCodec, message_id_of
from pgstore._core.ids import counted_ids
from pgstore._core.messages import E, RawMessage, StoredMessage
from pgstore._core.metadata import object_text
from pgstore._core.tags import given_tags, tags_of
from pgstore._core.text import has_nul
from pgstore.errors import InvalidArgumentError

START = datetime(2000, 1, 1, tzinfo=UTC)

# Arrays and objects in one another, in a message that a store takes.
_DEEPEST = 100

# Of a message.
_MOST_TAGS = 32

# Of a message that is given without one.
STREAM = "test-1"


def stored(
    message: E,
    *,
    stream: str = STREAM,
    version: int = 1,
    global_position: int | None = None,
    message_id: UUID | None = None,
    added_at: datetime = START,
    metadata: Mapping[str, object] | None = None,
    tags: Iterable[str] | None = None,
) -> StoredMessage[E]:
    """Make a stored message without a store.

    Its position is its version, if none is given; its id the one that it carries, or a number. Its
    tags are those that it carries, and those given.

    Raises:
        InvalidArgumentError: no stored message has such a stream, version, id, time, metadata or
            tags.
    """
    if not 1 <= len(text_of("stream", stream).encode()) <= 1000:
        raise InvalidArgumentError(f"stream must have 1 to 1000 bytes, not {describe(stream)}")
    version = count("version", version, least=1)
    position = version if global_position is None else count("global_position", global_position)
    if message_id is not None:
        message_id = UUID(uuid_text("message_id", message_id))
    if metadata is not None:
        object_text(metadata)  # raises if a store would refuse it
    return StoredMessage(
        message_id=message_id or message_id_of(message) or UUID(int=position),
        stream=stream,
        version=version,
        message=message,
        global_position=position,
        added_at=aware(added_at),
        metadata=metadata,
        tags=_tags_as_stored(message, tags),
    )


@contextmanager
def frozen_ids(start: datetime = START) -> Iterator[None]:
    """Make the new message ids of this process the same in each run: they count from a time.

    They are UUIDs of version 7, as others. A message that carries an id keeps it, and the ids that
    the SQL function `new_message_id` makes are as always.
    """
    if aware(start).timestamp() < 0:
        raise InvalidArgumentError(f"start must be in 1970 or later, not {describe(start)}")
    with counted_ids(int(start.timestamp() * 1_000_000)):
        yield


def read_back(codec: Codec[E], message: E | RawMessage, stream: str, version: int) -> E:
    """The message as a reader gets it: written as JSON, and decoded again."""
    name, data = as_written(codec, message)
    return codec.decode(name, data, stream, version)


def as_written(codec: Codec[E], message: E | RawMessage) -> tuple[str, str]:
    """The type and the JSON of a message; raises for a message that a store would refuse."""
    if isinstance(message, RawMessage):
        name, data = RawCodec().encode(message)
    else:
        name, data = codec.encode(message)
    _tags_as_stored(message)
    text = data.decode()
    if has_nul(text):
        raise InvalidArgumentError(
            f"this {name} holds the character NUL (\\0): PostgreSQL has no place for it"
        )
    try:
        is_deeper = _is_deeper(json.loads(text), _DEEPEST)
    except RecursionError:
        is_deeper = True
    except ValueError as error:  # a RawMessage's
        raise InvalidArgumentError(f"this {name} is not JSON: {error}") from error
    if is_deeper:
        raise InvalidArgumentError(
            f"this {name} has more than {_DEEPEST} arrays and objects nested"
        )
    return name, text


def _tags_as_stored(message: object, tags: Iterable[str] | None = None) -> tuple[str, ...]:
    """The tags of a message as a store keeps them; raises if it would refuse them."""
    found = tuple(tags_of(message, given_tags(tags)))
    if len(found) > _MOST_TAGS or not all(1 <= len(each.encode()) <= 255 for each in found):
        raise InvalidArgumentError(
            f"tags must be at most {_MOST_TAGS} names of 1 to 255 bytes, not {describe(found)}"
        )
    return found


def _is_deeper(value: object, levels: int) -> bool:
    """Tell whether there are more arrays and objects in one another."""
    level = [value]
    for _ in range(levels):
        level = [
            inside
            for each in level
            if isinstance(each, list | dict)
            for inside in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, list | dict) for each in level)
