"""JSON of messages as a tree that a page can fold, and differences between two of them.

Numbers stay the texts that they are: no float holds every number of a jsonb.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from pgstore._core.text import printable

# A page stays quick with so many values; the rest is in the raw form.
_NODES = 1000
_LONGEST_TEXT = 4000
_CHANGES, _LONGEST_VALUE = 200, 500


class Number(str):
    """A number of JSON as it is written."""


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
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number)


def tree(text: str) -> Node:
    """A document as nodes, at most so many that a page stays quick."""
    return _node(parsed(text), [_NODES])


def summary(text: str, longest: int = 160) -> str:
    """The beginning of a document in a line."""
    cut = text[: longest + 1]
    return printable(cut if len(cut) <= longest else cut[: longest - 1] + "…")


def scalar(value: Any) -> str:
    """A value without items as JSON."""
    if isinstance(value, Number):
        return value
    return json.dumps(value, ensure_ascii=False)


def _node(value: Any, budget: list[int]) -> Node:
    budget[0] -= 1
    match value:
        case Number():
            return Node("number", str(value))
        case str():
            text = printable(value[:_LONGEST_TEXT])
            return Node("text", text, left_out=max(len(value) - _LONGEST_TEXT, 0))
        case dict() | list():
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            items = []
            for name, each in pairs:
                if budget[0] <= 0:
                    break
                items.append((printable(str(name)[:_LONGEST_TEXT]), _node(each, budget)))
            kind = "object" if isinstance(value, dict) else "array"
            count = len(value)
            return Node(kind, items=tuple(items), count=count, left_out=count - len(items))
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
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(each for each in after if each not in before)]:
            inside = f"{path}.{name}" if path else name
            if name not in after:
                yield Change(_place(inside), _compact(before[name]), None)
            elif name not in before:
                yield Change(_place(inside), None, _compact(after[name]))
            else:
                yield from _changes(before[name], after[name], inside)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            inside = f"{path}[{index}]"
            if index >= len(after):
                yield Change(_place(inside), _compact(before[index]), None)
            elif index >= len(before):
                yield Change(_place(inside), None, _compact(after[index]))
            else:
                yield from _changes(before[index], after[index], inside)
    elif type(before) is not type(after) or before != after:
        yield Change(_place(path) or "(all)", _compact(before), _compact(after))


def _place(path: str) -> str:
    """A path of which the end is shown: names can have megabytes, and each change has one."""
    return printable(path if len(path) <= _LONGEST_VALUE else "…" + path[1 - _LONGEST_VALUE :])


def _compact(value: Any) -> str:
    return summary("".join(_flat(value)), _LONGEST_VALUE)


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for index, (name, each) in enumerate(value.items()):
            yield (", " if index else "") + json.dumps(name, ensure_ascii=False) + ": "
            yield from _flat(each)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for index, each in enumerate(value):
            yield ", " if index else ""
            yield from _flat(each)
        yield "]"
    else:
        yield scalar(value)
