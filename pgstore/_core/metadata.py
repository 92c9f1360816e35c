"""Metadata, and the context whose values go into that of every write."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Any

import msgspec

from pgstore._core.arguments import describe, wrong
from pgstore._core.differences import not_finite, plain_with_sorted_sets, unencodable
from pgstore._core.messages import StoredMessage
from pgstore._core.text import TOO_DEEP, has_nul
from pgstore.errors import InvalidArgumentError

Metadata = Mapping[str, object]

# In bytes: the index has no longer one.
_LONGEST_CORRELATION_ID = 255


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
        # JSON has neither: the encoder writes null for them.
        no_number = "null" in text and not_finite(msgspec.to_builtins(metadata, enc_hook=_plain))
    except RecursionError as error:
        raise InvalidArgumentError(f"metadata is {TOO_DEEP}") from error
    except (TypeError, ValueError, OverflowError) as error:
        path, value = unencodable(metadata, _encode)
        raise InvalidArgumentError(
            f"metadata{path} cannot be written: it is {describe(value)}: {error}"
        ) from error
    if has_nul(text):
        raise InvalidArgumentError(
            "metadata cannot hold the character NUL (\\0): PostgreSQL has no place for it"
        )
    if no_number:
        raise InvalidArgumentError("metadata cannot hold a NaN or an infinity: JSON has none")
    return text


def object_text(metadata: Metadata) -> str:
    """Metadata to look for, as JSON."""
    if not isinstance(metadata, Mapping):
        raise wrong('metadata must be a mapping, as {"key": "value"}, or None', metadata)
    return metadata_text(metadata)


class Context(msgspec.Struct, gc=False):
    """Values for the metadata of writes: those around, the ids of causes, and its own.

    The causes are the stored messages that are being handled.
    """

    around: "Context | None"
    causes: Sequence[Any]
    own: Metadata | None = None
    merged: Metadata | None = None

    @property
    def values(self) -> Metadata:
        """Its values, made at the first write: most handlers write nothing."""
        if self.merged is None:
            around = {} if self.around is None else self.around.values
            self.merged = {**around, **_values_of(self.causes), **(self.own or {})}
        return self.merged


_CONTEXT: ContextVar[Context | None] = ContextVar("pgstore_message_context", default=None)

# On the way of every write, and of every handler call: the methods themselves.
current_context = _CONTEXT.get
enter_context = _CONTEXT.set


def leave_context(token: Token[Context | None]) -> None:
    """Put back the context before `enter_context`."""
    try:
        _CONTEXT.reset(token)
    except ValueError:
        return  # a coroutine that is closed, in another context: there is nothing to put back


class _Block(AbstractContextManager[None]):
    """The block in which a context holds."""

    def __init__(self, causes: Sequence[StoredMessage[Any]], own: Metadata) -> None:
        self._causes = causes
        self._own = own
        self._token: Token[Context | None] | None = None

    def __enter__(self) -> None:
        if self._token is not None:
            raise InvalidArgumentError("this message_context is entered already: make another one")
        self._token = enter_context(Context(current_context(), self._causes, self._own))

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        assert token is not None
        leave_context(token)


def message_context(
    cause: StoredMessage[Any] | None = None, /, **values: object
) -> AbstractContextManager[None]:
    """Put values into the metadata of every message that is written in this block.

    `correlation_id`, `causation_id` and any others, as JSON. A write's own `metadata` wins key by
    key, and so does an inner block. A `cause` gives the messages its correlation id (its own id, if
    it has none) and its id as their `causation_id`: a runner does that around each handler. It
    holds for this thread or task, and for the tasks that it makes.

    Raises:
        InvalidArgumentError: the cause is no stored message, a value has no JSON, or the
            correlation id does not have 1 to 255 bytes.
    """
    if cause is not None and not isinstance(cause, StoredMessage):
        raise InvalidArgumentError(
            f"message_context takes a StoredMessage as the cause of what is written, and values by"
            f" name, not {describe(cause)}"
        )
    # As they are now, whatever becomes of a list among them.
    try:
        own = msgspec.json.decode(metadata_text(values)) if values else values
    except (msgspec.MsgspecError, RecursionError) as error:  # of a msgspec.Raw among them
        raise InvalidArgumentError(f"metadata cannot be written: {error}") from error
    correlation_id = own.get("correlation_id")
    if (
        isinstance(correlation_id, str)
        and not 1 <= len(correlation_id.encode()) <= _LONGEST_CORRELATION_ID
    ):
        raise InvalidArgumentError(
            f"correlation_id must have 1 to {_LONGEST_CORRELATION_ID} bytes, so that"
            f" read_correlated finds it, not {describe(correlation_id)}"
        )
    return _Block(() if cause is None else (cause,), own)


def text_in_context(metadata: Metadata | None) -> str | None:
    """A write's own metadata over the values of the context, as JSON; None if there is neither."""
    context = current_context()
    if context is not None:
        if metadata is None:
            metadata = context.values or None
        elif isinstance(metadata, Mapping):  # anything else is refused
            metadata = {**context.values, **metadata}
    return None if metadata is None else metadata_text(metadata)


def _values_of(causes: Sequence[StoredMessage[Any]]) -> dict[str, object]:
    """The ids of the messages that are being handled, where they are true of all of them."""
    values: dict[str, object] = {}
    correlations = {each.correlation_id or str(each.message_id) for each in causes}
    if len(correlations) == 1:
        values["correlation_id"] = correlations.pop()
    if len(causes) == 1:
        values["causation_id"] = str(causes[0].message_id)
    return values
