"""Tags of messages, queries for them, and conditions of writes."""

from collections.abc import Iterable, Iterator
from typing import Generic

import msgspec

from pgstore._core.arguments import describe, several, text_of
from pgstore._core.codec import Codec
from pgstore._core.messages import E, StoredMessage
from pgstore._core.parameters import array
from pgstore.errors import InvalidArgumentError

_json = msgspec.json.Encoder().encode


class QueryItem(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """Looks for the messages that have all these tags and one of these types.

    `tags` are 1 to 32; name the rarest first. `types` are names or classes; None for any type. A
    query is such an item, or several: it looks for the messages that any of them looks for.
    """

    tags: Iterable[str]
    types: Iterable[str | type] | None = None

    def __post_init__(self) -> None:
        types = several("types", self.types)
        for each in types or ():
            if not isinstance(each, type):
                text_of("types", each)
        msgspec.structs.force_setattr(self, "tags", _texts("tags", self.tags))
        msgspec.structs.force_setattr(self, "types", types)


Query = QueryItem | Iterable[QueryItem]


class AppendCondition(msgspec.Struct, frozen=True):
    """The condition that no message has come that a query looks for, since a decision.

    `decided_upon` is the token of the reading that the decision was made upon: a text, which may go
    to a browser and back.
    """

    query: Query
    decided_upon: str

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


def items_of(query: Query) -> tuple[QueryItem, ...]:
    """The items of a query."""
    items = (query,) if isinstance(query, QueryItem) else several("query", query)
    for each in items or [None]:
        if not isinstance(each, QueryItem):
            raise InvalidArgumentError(
                "query must be a QueryItem, or several of them in a list, not"
                f" {describe(query if not items else each)}"
            )
    return items or ()


def named(items: Iterable[QueryItem], codec: Codec[E]) -> tuple[QueryItem, ...]:
    """The items with the names of their types."""
    return tuple(
        QueryItem(tags=each.tags, types=None if each.types is None else codec.names_of(each.types))
        for each in items
    )


def query_text(items: Iterable[QueryItem]) -> str:
    """A query of named items as the statements take it: JSON."""
    return _json(
        [
            {"tags": each.tags} if each.types is None else {"tags": each.tags, "types": each.types}
            for each in items
        ]
    ).decode()


def condition_texts(
    condition: AppendCondition | None, codec: Codec[E]
) -> tuple[str | None, str | None]:
    """A condition as the statements take it: the query, and the token."""
    if condition is None:
        return None, None
    if not isinstance(condition, AppendCondition):
        raise InvalidArgumentError(
            "unless must be an AppendCondition, as what read_tagged returns,"
            f" not {describe(condition)}"
        )
    return query_text(named(items_of(condition.query), codec)), condition.decided_upon


def carries_tags(cls: type) -> bool:
    """Tell whether messages of a class can have tags of their own."""
    return hasattr(cls, "get_tags")


def tags_of(message: object, given: Iterable[str] = ()) -> list[str]:
    """The tags that a message itself carries, and those given: each once, in order."""
    if not carries_tags(type(message)):
        return sorted({*given})
    get_tags = getattr(message, "get_tags")  # noqa: B009
    name = f"get_tags() of {type(message).__name__}"
    carried = get_tags() if callable(get_tags) else get_tags
    return sorted({*given, *_texts(name, () if carried is None else carried)})


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
    return () if tags is None else _texts("tags", tags)


def _texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    given = several(name, values)
    if given is None:
        raise InvalidArgumentError(f"{name} must be several, in a list, not None")
    for each in given:
        text_of(name, each)
    return given
