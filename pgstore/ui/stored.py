"""Messages as pages show them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from pgstore.ui import payloads


class Brief(msgspec.Struct, frozen=True):
    """A message in a list: of its payload the beginning."""

    message_id: UUID
    stream: str
    version: int
    position: int
    type: str
    data: str
    added_at: datetime

    @property
    def summary(self) -> str:
        """The beginning of the payload in a line."""
        return payloads.summary(self.data)


class Stored(Brief, frozen=True):
    """A message with all that it has."""

    metadata: str | None
    tags: str | None

    @property
    def names(self) -> list[str]:
        """Its tags."""
        return msgspec.json.decode(self.tags, type=list[str]) if self.tags else []

    def metadata_text(self, key: str) -> str | None:
        """A value of the metadata that is a text, if there is one."""
        found: Any = payloads.parsed(self.metadata) if self.metadata else None
        value = found.get(key) if isinstance(found, dict) else None
        return value if isinstance(value, str) else None

    @property
    def correlation_id(self) -> str | None:
        return self.metadata_text("correlation_id")

    @property
    def causation_id(self) -> UUID | None:
        """The id of the message that caused it, if it is one."""
        try:
            return UUID(self.metadata_text("causation_id") or "")
        except ValueError:
            return None
