"""The values that go in and come out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

E = TypeVar("E")


class MessagePosition(msgspec.Struct, frozen=True):
    """Where a message is: its stream, its version there, and its place in the whole store."""

    stream: str
    version: int
    global_position: int


class StoredMessage(msgspec.Struct, Generic[E], frozen=True, repr_omit_defaults=True, gc=False):
    """A message as it is stored.

    `version` counts from 1 in the stream, without gaps. `global_position` increases through the
    store, with gaps. `added_at` is the server's clock when it was written, in UTC.
    `metadata` is what its writer said about it.
    """

    message_id: UUID
    stream: str
    version: int
    message: E
    global_position: int
    added_at: datetime
    metadata: Mapping[str, object] | None = None


class RawMessage(msgspec.Struct, frozen=True):
    """A message of any type: the type's name and the payload as JSON text in UTF-8."""

    type: str
    data: bytes
