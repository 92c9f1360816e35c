"""Tags of messages, queries for them, and conditions of writes."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic
from uuid import UUID

import msgspec

from pgstore._core.arguments import describe, several, text_of, wrong
from pgstore._core.codec import Codec
from pgstore._core.messages import E, StoredMessage
from pgstore._core.parameters import array
from pgstore.errors import InvalidArgumentError

_json = msgspec.json.Encoder().encode


class QueryItem(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True
):
    """Looks for the messages that have all these tags and one of these types.

    `tags` are 1 to 32; name the rarest first. `types` are 1 to 1,000 names or classes; None for any
    type. A query is such an item, or several: it looks for the messages that any of them looks for.
    """

    tags: tuple[str, ...]
    types: tuple[Any, ...] | None = None

    if TYPE_CHECKING:  # it takes more than it keeps

        def __init__(
            self, *, tags: Iterable[str], types: Iterable[str | type] | None = None
        ) -> None: ...

    def __post_init__(self) -> None:
        types = several("types", self.types)
        if types is not None:
            types = tuple(
                each if isinstance(each, type) else _text("each of types", each) for each in types
            )
        msgspec.structs.force_setattr(self, "tags", texts("tags", self.tags))
        msgspec.structs.force_setattr(self, "types", types)


Query = QueryItem | Iterable[QueryItem]


class AppendCondition(msgspec.Struct, frozen=True):
    """The condition that no message has come that a query looks for, since a decision.

    `decided_upon` is the token of the reading that the decision was made upon: a text, which may go
    to a browser and back.
    """

    query: tuple[QueryItem, ...]
    decided_upon: str

    if TYPE_CHECKING:  # it takes more than it keeps

        def __init__(self, query: Query, decided_upon: str) -> None: ...

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "query", items_of(self.query))
        text_of("decided_upon", self.decided_upon)


class TaggedMessages(AppendCondition, Generic[E], frozen=True):
    """The messages that a query looks for, and the condition that they are all there are.

    It iterates over its messages, which are in global order, and has their number as its length.
    """

    messages: tuple[StoredMessage[E], ...]

    def __iter__(self) -> Iterator[StoredMessage[E]]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)


def items_of(query: Any) -> tuple[QueryItem, ...]:
    """The items of a query."""
    if isinstance(query, QueryItem):
        return (query,)
    is_one = not isinstance(query, Iterable) or isinstance(query, str | bytes | Mapping)
    items = () if is_one else tuple(query)
    others = [each for each in items if not isinstance(each, QueryItem)]
    if others or not items:
        refused = others[0] if others else query
        raise wrong("query must be a QueryItem, or several of them in a list", refused)
    return items


def named(items: Iterable[QueryItem], codec: Codec[E]) -> tuple[QueryItem, ...]:
    """The items with the names of their types."""
    return tuple(
        QueryItem(tags=each.tags, types=None if each.types is None else codec.names_of(each.types))
        for each in items
    )


def query_text(items: tuple[QueryItem, ...]) -> str:
    """A query of named items as the statements take it: JSON."""
    return _json(items).decode()


def condition_texts(
    condition: AppendCondition | None, codec: Codec[E]
) -> tuple[str | None, str | None]:
    """A condition as the statements take it: the query, and the token."""
    if condition is None:
        return None, None
    if not isinstance(condition, AppendCondition):
        raise wrong("unless must be an AppendCondition, as what read_tagged returns", condition)
    return query_text(named(condition.query, codec)), condition.decided_upon


def carries_tags(cls: type) -> bool:
    """Tell whether messages of a class can have tags of their own."""
    return hasattr(cls, "get_tags") or hasattr(cls, "tags_from")


def tags_of(message: Any, given: Iterable[str] = ()) -> list[str]:
    """The tags that a message itself carries, and those given: each once, in order."""
    cls = type(message)
    found = {*given}
    if hasattr(cls, "tags_from"):
        found.update(_tags_from(message))
    if hasattr(cls, "get_tags"):
        carried = message.get_tags() if callable(message.get_tags) else message.get_tags
        found.update(texts(f"get_tags() of {cls.__name__}", () if carried is None else carried))
    return sorted(found)


def tags_text(message: object, given: Iterable[str] | None) -> str | None:
    """The same as the statements take it; None if there are none."""
    if given is None and not carries_tags(type(message)):
        return None
    return array(tags_of(message, given_tags(given)) or None)


def tags_json(message: object, given: Iterable[str] = ()) -> bytes | None:
    """The same as the statements of a batch take it."""
    tags = tags_of(message, given)
    return _json(tags) if tags else None


def given_tags(tags: Iterable[str] | None) -> tuple[str, ...]:
    """The tags that were given for a call."""
    return () if tags is None else texts("tags", tags)


def texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """An argument of several texts that the server can hold."""
    given = several(name, values)
    if given is None:
        raise InvalidArgumentError(f"{name} must be several, in a list, not None")
    return tuple(_text(f"each of {name}", each) for each in given)


def _text(name: str, value: str) -> str:
    """A text as it is compared and sent: that of a subclass may print or encode as another."""
    return str.__str__(text_of(name, value))


def _tags_from(message: object) -> Iterator[str]:
    """The tags of the fields that a message's class names in its `tags_from`."""
    cls = type(message)
    for name in texts(f"tags_from of {cls.__name__}", getattr(cls, "tags_from", ())):
        try:
            value = getattr(message, name)
        except AttributeError:
            raise wrong(f"tags_from of {cls.__name__} must be names of its fields", name) from None
        if isinstance(value, Enum):
            value = value.value
        if value is None or value is msgspec.UNSET:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | UUID):
            raise InvalidArgumentError(
                f"tags_from of {cls.__name__} makes tags of texts, whole numbers and UUIDs: {name}"
                f" is {describe(value)}, write a get_tags()"
            )
        yield f"{name}:{_text(name, value) if isinstance(value, str) else value}"
