"""JSON of messages as a tree that a page can fold, and differences between two of them.

Numbers stay the texts that they are: no float holds every number of a jsonb.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from pgstore._core.text import printable
from pgstore.ui.formats import cut

# A page stays quick with so many values; the rest is in the raw form.
_NODES = 1000
_LONGEST_TEXT = 4000
_CHANGES, _LONGEST_VALUE = 200, 500


class Node(msgspec.Struct, frozen=True):
    """A value of a JSON document.

    `kind` is object, array, text, number or word. `items` are those of an object or array, with
    their names; `left_out` says how many more there are, or characters of a text.
    """

    kind: str
    text: str = ""
    items: tuple[tuple[str, "Node"], ...] = ()
    count: int = 0
    left_out: int = 0


class Change(msgspec.Struct, frozen=True):
    """A place in which two documents differ; a side that lacks it is None."""

    path: str
    before: str | None
    after: str | None


def parsed(text: str) -> Any:
    """A document, with numbers as they are written."""
    return json.loads(text, parse_float=Raw, parse_int=Raw, parse_constant=Raw)


def tree(text: str) -> Node:
    """A document as nodes, at most so many that a page stays quick."""
    return _node(parsed(text), [_NODES])


def summary(text: str, longest: int = 160) -> str:
    """The beginning of a document in a line."""
    return printable(cut(text, longest))


def _node(value: Any, budget: list[int]) -> Node:
    budget[0] -= 1
    match value:
        case Raw():
            return Node("number", bytes(value).decode())
        case str():
            text = printable(value[:_LONGEST_TEXT])
            return Node("text", text, left_out=max(len(value) - _LONGEST_TEXT, 0))
        case dict() | list():
            items = []
            for name, each in _members(value).items():
                if budget[0] <= 0:
                    break
                items.append((printable(str(name)[:_LONGEST_TEXT]), _node(each, budget)))
            kind = "object" if isinstance(value, dict) else "array"
            left_out = len(value) - len(items)
            return Node(kind, items=tuple(items), count=len(value), left_out=left_out)
    return Node("word", json.dumps(value))


def changes(before: str, after: str) -> tuple[list[Change], bool]:
    """The places in which two documents differ, and whether there are more."""
    found: list[Change] = []
    for change in _changes(parsed(before), parsed(after), ""):
        if len(found) == _CHANGES:
            return found, True
        found.append(change)
    return found, False


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, dict | list) and type(before) is type(after):
        old, new = _members(before), _members(after)
        for name in old | new:
            if isinstance(name, int):
                inside = f"{path}[{name}]"
            else:
                inside = f"{path}.{name}" if path else name
            if name not in new:
                yield Change(_place(inside), _compact(old[name]), None)
            elif name not in old:
                yield Change(_place(inside), None, _compact(new[name]))
            else:
                yield from _changes(old[name], new[name], inside)
    elif type(before) is not type(after) or before != after:
        yield Change(_place(path) or "(all)", _compact(before), _compact(after))


def _members(value: dict[str, Any] | list[Any]) -> dict[Any, Any]:
    return value if isinstance(value, dict) else dict(enumerate(value))


def _place(path: str) -> str:
    """A path of which the end is shown: names can have megabytes, and each change has one."""
    return printable(path if len(path) <= _LONGEST_VALUE else "…" + path[1 - _LONGEST_VALUE :])


def _compact(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    return summary(text, _LONGEST_VALUE)
