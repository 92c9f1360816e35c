"""The context of writes, apart from a server; and the ids that a stored message tells."""

import asyncio
import contextvars
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from pgstore import InvalidArgumentError, StoredMessage, message_context
from pgstore._core.metadata import Context, current_context, text_in_context

FIRST, SECOND = UUID(int=1), UUID(int=2)


def stored(message_id: UUID = FIRST, **metadata: object) -> StoredMessage[str]:
    return StoredMessage(message_id, "a-1", 1, "text", 1, datetime.now(UTC), metadata or None)


def values() -> Mapping[str, object] | None:
    context = current_context()
    return None if context is None else context.values


def test_blocks_merge_and_end() -> None:
    assert values() is None
    with message_context(user="ada", tenant="a"):
        with message_context(user="bob", correlation_id="c"):
            assert values() == {"user": "bob", "tenant": "a", "correlation_id": "c"}
        assert values() == {"user": "ada", "tenant": "a"}
        with pytest.raises(ZeroDivisionError), message_context(user="eve"):
            raise ZeroDivisionError
        assert values() == {"user": "ada", "tenant": "a"}
    assert values() is None


def test_metadata_of_the_write_wins_key_by_key() -> None:
    assert text_in_context(None) is None
    assert text_in_context({"a": 1}) == '{"a":1}'
    with message_context(user="ada", tenant={"id": 1, "name": "x"}):
        assert text_in_context(None) == '{"user":"ada","tenant":{"id":1,"name":"x"}}'
        assert text_in_context({"tenant": {"id": 2}, "b": None}) == (
            '{"user":"ada","tenant":{"id":2},"b":null}'
        )


def test_values_are_those_at_the_beginning_of_the_block_as_json() -> None:
    names = ["ada"]
    correlation_id = uuid4()
    with message_context(names=names, correlation_id=correlation_id):
        names.append("bob")
        assert values() == {"names": ["ada"], "correlation_id": str(correlation_id)}


@pytest.mark.parametrize(
    "value", [object(), float("nan"), {1, object()}, "\0", {"a\0": 1}, ["\\\0"], msgspec.Raw(b"{")]
)
def test_a_value_without_json_is_refused_at_once(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="metadata"):
        message_context(user=value)
    assert values() is None


@pytest.mark.parametrize("value", [r"\u0000", [r"\\u0000"], {r"\u0000": 1}])
def test_a_backslash_before_such_letters_is_no_nul(value: Any) -> None:
    with message_context(user=value):
        assert values() == {"user": value}


@pytest.mark.parametrize("correlation_id", ["", "a" * 256, "ä" * 128])
def test_a_correlation_id_that_nothing_would_find_is_refused(correlation_id: str) -> None:
    with pytest.raises(InvalidArgumentError, match="correlation_id must have 1 to 255 bytes"):
        message_context(correlation_id=correlation_id)
    with message_context(correlation_id="a" * 255, user=correlation_id):
        assert values() == {"correlation_id": "a" * 255, "user": correlation_id}


@pytest.mark.parametrize("cause", ["text", FIRST, {"correlation_id": "c"}, StoredMessage])
def test_a_cause_that_is_no_stored_message_is_refused(cause: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="message_context takes a StoredMessage"):
        message_context(cause)


def test_a_cause_gives_its_correlation_or_its_id() -> None:
    with message_context(stored(correlation_id="c", user="ada")):
        assert values() == {"correlation_id": "c", "causation_id": str(FIRST)}
        with message_context(stored(SECOND), correlation_id="d"):
            assert values() == {"correlation_id": "d", "causation_id": str(SECOND)}
        with message_context(stored(SECOND)):
            assert values() == {"correlation_id": str(SECOND), "causation_id": str(SECOND)}


def test_several_causes_give_the_correlation_that_they_share() -> None:
    one, two = stored(correlation_id="c"), stored(SECOND, correlation_id="c")
    assert Context(None, (one, two)).values == {"correlation_id": "c"}
    assert Context(None, (one, stored(SECOND))).values == {}
    two = stored(SECOND, correlation_id=str(FIRST))
    assert Context(None, (stored(), two)).values == {"correlation_id": str(FIRST)}


def test_a_context_is_entered_again_only_after_its_end() -> None:
    context = message_context(user="ada")
    with context, pytest.raises(InvalidArgumentError, match="entered already"), context:
        pass
    assert values() is None
    with message_context(tenant="a"), context:
        assert values() == {"user": "ada", "tenant": "a"}


def test_a_coroutine_that_is_closed_elsewhere_ends_its_context_in_peace() -> None:
    async def waits() -> None:
        with message_context(user="ada"):
            await asyncio.Future()

    async def begin() -> Any:
        coroutine = waits()
        contextvars.copy_context().run(coroutine.send, None)
        return coroutine

    coroutine = asyncio.run(begin())
    coroutine.close()
    assert values() is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("c", "c"), ("", ""), (None, None), (42, "42"), (True, "true"), (Decimal("1.50"), "1.50")],
)
def test_ids_are_texts_as_the_server_gives_them(value: object, text: str | None) -> None:
    message = stored(correlation_id=value, causation_id=value)
    assert (message.correlation_id, message.causation_id) == (text, text)


def test_a_message_without_them_has_no_ids() -> None:
    for message in (stored(), stored(user="ada")):
        assert (message.correlation_id, message.causation_id) == (None, None)
    assert "correlation_id" not in repr(stored())


def test_without_a_context_a_write_pays_one_call_in_c() -> None:
    assert type(current_context).__name__ == "builtin_function_or_method"
