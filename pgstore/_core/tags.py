"""Tags of messages, queries for them, and conditions of writes."""

from collections.abc import Iterable, Iterator
from typing import Generic

import msgspec

from pgstore._core.arguments import describe, name_of, several, text_of
from pgstore._core.arrays import JsonArray
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
        msgspec.structs.force_setattr(self, "tags", _texts("tags", self.tags))
        msgspec.structs.force_setattr(self, "types", several("types", self.types))


Query = QueryItem | Iterable[QueryItem]


class AppendCondition(msgspec.Struct, frozen=True):
    """The condition that no message has come that a query looks for, since a decision.

    `decided_upon` is the token of the reading that the decision was made upon. It can be kept as a
    text, sent to a browser and back.
    """

    query: Query
    decided_upon: str


class TaggedMessages(AppendCondition, Generic[E], frozen=True):
    """The messages that a query looks for, and the condition that they are all there are.

    It iterates over its messages, which are in global order, and has their number as its length.
    """

    messages: tuple[StoredMessage[E], ...]

    def __iter__(self) -> Iterator[StoredMessage[E]]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)


def items_of(query: Query, codec: Codec[E]) -> tuple[QueryItem, ...]:
    """The items of a query, with the names of their types."""
    given = (query,) if isinstance(query, QueryItem) else several("query", query) or ()
    for each in given:
        if not isinstance(each, QueryItem):
            raise InvalidArgumentError(
                f"query must be a QueryItem, or several of them, not {describe(each)}"
            )
    return tuple(
        QueryItem(tags=each.tags, types=None if each.types is None else codec.names_of(each.types))
        for each in given
    )


def query_text(items: Iterable[QueryItem]) -> str:
    """A query as the statements take it: JSON."""
    return _json(
        [
            {"tags": each.tags} | ({} if each.types is None else {"types": each.types})
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
    token = name_of("decided_upon", condition.decided_upon)
    return query_text(items_of(condition.query, codec)), token


def tags_of(message: object, given: Iterable[str] | None = None) -> list[str] | None:
    """The tags that a message itself carries, and those given, in order; None if there are none."""
    get_tags = getattr(message, "get_tags", None)
    if get_tags is None and given is None:
        return None
    tags = set() if given is None else set(_texts("tags", given))
    if get_tags is not None:
        name = f"get_tags() of {type(message).__name__}"
        carried = get_tags() if callable(get_tags) else 0
        tags.update(_texts(name, () if carried is None else carried))
    return sorted(tags) or None


def tags_text(message: object, given: Iterable[str] | None) -> str | None:
    """The same as the statements take it."""
    return array(tags_of(message, given))


def tags_array(messages: Iterable[object], given: Iterable[str] | None = None) -> JsonArray | None:
    """The tags of each message of a batch; None if none has any."""
    if given is not None:
        given = _texts("tags", given)
    found = [tags_of(each, given) for each in messages]
    if not any(found):
        return None
    return JsonArray([None if each is None else _json(each) for each in found])


def _texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    given = several(name, values)
    if given is None:
        raise InvalidArgumentError(f"{name} must be several, in a list: not None")
    for each in given:
        text_of(f"each of {name}", each)
    return given
