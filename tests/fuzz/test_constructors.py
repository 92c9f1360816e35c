"""Making stores, installing them, and registering handlers, with what nothing expects."""

from collections.abc import Callable
from typing import Annotated, Any, NewType, TypeVar
from unittest.mock import patch

import msgspec
import psycopg
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgstore
from pgstore import AsyncMessageStore, MessageStore, StoredMessage
from pgstore._core.arguments import describe
from tests.fuzz.judging import check_documented, fuzzed
from tests.fuzz.values import ANYTHING, EXPECTED, MESSAGES, Data, Event, Given, Model, arguments


class Forward(pydantic.BaseModel):
    """A model whose field is of a class that is nowhere."""

    field: "Nothing"  # type: ignore[name-defined]  # noqa: F821


class ForwardStruct(msgspec.Struct):
    field: "Nothing"  # type: ignore[name-defined]  # noqa: F821


class Wrong(msgspec.Struct):
    field: "1 / 0"  # type: ignore[valid-type]


class Unspeakable(msgspec.Struct):
    field: "list["  # type: ignore[valid-type]  # noqa: F722


class Ambiguous(msgspec.Struct):
    field: Event | Data | int


ANNOTATIONS: list[Any] = [
    Forward, ForwardStruct, Wrong, Ambiguous, Unspeakable,
    Annotated[Event, "a"], list, list[Event], list[StoredMessage[Event]], list[StoredMessage[Any]],
    list[Event], StoredMessage, StoredMessage[Any], list[StoredMessage[Event]],
    StoredMessage[Event] | Event, StoredMessage[list[Event]], Event | None, TypeVar("T"),
    NewType("New", Event), "Event", "list[", "1 / 0", "Nothing", MESSAGES, Model | int,
    tuple[Event, ...], Annotated[list[StoredMessage[Event]], 1], psycopg.Connection, msgspec.Struct,
    pydantic.BaseModel, type[Event], Callable[[Event], None],
]  # fmt: skip
TYPES = ANYTHING | st.integers(0, len(ANNOTATIONS) - 1).map(lambda number: ANNOTATIONS[number])


@pytest.mark.parametrize("messages", ANNOTATIONS, ids=describe)
def test_messages_are_taken_or_refused(messages: Any) -> None:
    for each in (messages, {"Name": messages}, {"Event": Event, "Name": messages}):
        try:
            MessageStore("", messages=each)
        except Exception as error:
            check_documented(error)


@pytest.mark.parametrize("cls", [MessageStore, AsyncMessageStore])
def test_a_store_is_made_or_refused(cls: Any, fuzz_conninfo: str) -> None:
    expected = {
        **EXPECTED,
        "conninfo": st.sampled_from([fuzz_conninfo, None]),
        "messages": st.just(MESSAGES),
        "create": st.just(False),
        "store": st.just("pgstore"),
    }
    hostile = TYPES | st.dictionaries(st.sampled_from(["A", "B"]), TYPES, max_size=2)

    @fuzzed(150)
    @given(arguments(cls, expected, hostile))
    def check(given: Given) -> None:
        given.named["create"] = False
        given.named.setdefault("conninfo", fuzz_conninfo)
        try:
            store = cls(**given.named)
            repr(store)
            if cls is MessageStore:
                with store:
                    store.stream_version("fuzz-1")
                    store.write("fuzz-1", Event(1))
        except Exception as error:
            check_documented(error)

    check()


def test_install_does_so_or_refuses(fuzz_conninfo: str) -> None:
    expected: dict[str, st.SearchStrategy[Any]] = {
        "conninfo": st.just(fuzz_conninfo),
        "store": st.sampled_from(["pgstore", "other"]),
        "message_db": st.booleans(),
    }

    @fuzzed(40)
    @given(arguments(pgstore.install, expected))
    def check(given: Given) -> None:
        # What is installed is always the same: only the way there is of interest.
        with patch("pgstore._sync.installer.install", return_value=1):
            try:
                pgstore.install(**given.named)
            except Exception as error:
                check_documented(error)

    check()


@pytest.mark.parametrize("decorator", ["handler", "batch_handler", "middleware"])
@pytest.mark.parametrize("cls", [MessageStore, AsyncMessageStore])
def test_a_handler_is_registered_or_refused(cls: Any, decorator: str) -> None:
    store = cls("", messages=MESSAGES)
    values = TYPES.map(Given)

    @fuzzed(100)
    @given(values, values, st.booleans())
    def check(first: Given, second: Given, call: bool) -> None:
        if call:
            function: Any = first.values[0]
        elif cls is MessageStore:

            def function(event: Any, conn: Any = None) -> None: ...

        else:

            async def function(event: Any, conn: Any = None) -> None: ...

        if not call:
            function.__annotations__ = {"event": first.values[0], "conn": second.values[0]}
        try:
            getattr(store.subscription("one"), decorator)(function)
        except Exception as error:
            check_documented(error)

    check()
