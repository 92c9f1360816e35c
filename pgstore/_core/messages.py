"""The values that go in and come out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

E = TypeVar("E")

# Columns of the rows in which statements return messages.
STREAM, VERSION, POSITION, TYPE, METADATA, TAGS = 1, 2, 3, 4, 6, 8

_json = msgspec.json.Encoder(decimal_format="number").encode


class MessagePosition(msgspec.Struct, frozen=True):
    """Where a message is: its stream, its version there, and its place in the whole store."""

    stream: str
    version: int
    global_position: int

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic, and FastAPI, read and write it, and describe it in an OpenAPI schema."""
        from pgstore._core import pydantic_schemas

        return pydantic_schemas.schema_of(cls, source, handler)


class StoredMessage(msgspec.Struct, Generic[E], frozen=True, repr_omit_defaults=True, gc=False):
    """A message as it is stored.

    `version` counts from 1 in the stream, without gaps. `global_position` increases through the
    store, with gaps. `added_at` is the server's clock when it was written, in UTC.
    `metadata` is what its writer said about it. `correlation_id` and `causation_id` are in there,
    if they are anywhere: see `message_context`. `tags` are in the order of their bytes.
    """

    message_id: UUID
    stream: str
    version: int
    message: E
    global_position: int
    added_at: datetime
    metadata: Mapping[str, object] | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic, and FastAPI, read and write it, and describe it in an OpenAPI schema."""
        from pgstore._core import pydantic_schemas

        return pydantic_schemas.schema_of(cls, source, handler)

    @property
    def correlation_id(self) -> str | None:
        """The id of everything that came out of one request or message, if its writer gave it."""
        return self._text_of("correlation_id")

    @property
    def causation_id(self) -> str | None:
        """The id of the message whose handling wrote this one, if its writer gave it."""
        return self._text_of("causation_id")

    def _text_of(self, key: str) -> str | None:
        """A value of the metadata, as the server's ->> gives it."""
        value = None if self.metadata is None else self.metadata.get(key)
        return value if value is None or isinstance(value, str) else _json(value).decode()


class RawMessage(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A message of any type: the type's name and the payload as JSON text in UTF-8.

    `message_id` is the id to write it with; None for a new one. `tags` are those to write it with.
    One that was read has neither: they are those of the `StoredMessage`.
    """

    type: str
    data: bytes
    message_id: UUID | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """As that of a StoredMessage; `data` is the payload, not its text."""
        from pgstore._core import pydantic_schemas

        return pydantic_schemas.schema_of_raw(cls, source, handler)

    def get_message_id(self) -> UUID | None:
        """The id to write it with."""
        return self.message_id

    def get_tags(self) -> tuple[str, ...]:
        """The tags to write it with."""
        return self.tags
