"""Stored messages and ids that are the same in each run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from pgstore._core.arguments import aware
from pgstore._core.codec import Codec, RawCodec, message_id_of
from pgstore._core.ids import counted_ids
from pgstore._core.messages import E, RawMessage, StoredMessage

START = datetime(2000, 1, 1, tzinfo=UTC)

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
) -> StoredMessage[E]:
    """Make a stored message without a store.

    Its position is its version, if none is given; its id the one that it carries, or a number.
    """
    position = version if global_position is None else global_position
    return StoredMessage(
        message_id=message_id or message_id_of(message) or UUID(int=position),
        stream=stream,
        version=version,
        message=message,
        global_position=position,
        added_at=aware(added_at),
        metadata=metadata,
    )


@contextmanager
def frozen_ids(start: datetime = START) -> Iterator[None]:
    """Make the new message ids of this process the same in each run: they count from a time.

    They are UUIDs of version 7, as others. A message that carries an id keeps it, and the ids that
    the SQL function `new_message_id` makes are as always.
    """
    with counted_ids(int(aware(start).timestamp() * 1_000_000)):
        yield


def read_back(codec: Codec[E], message: E | RawMessage, stream: str, version: int) -> E:
    """The message as a reader gets it: written as JSON, and decoded again."""
    if isinstance(message, RawMessage):
        name, data = RawCodec().encode(message)
    else:
        name, data = codec.encode(message)
    return codec.decode(name, data.decode(), stream, version)
