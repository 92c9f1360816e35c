"""Encoding and decoding without a database."""

import json
import sys
from types import FrameType
from typing import Any
from uuid import UUID

import msgspec
import pytest

from pgstore import InvalidArgumentError, MessageDecodeError, RawMessage, UnknownMessageTypeError
from pgstore._core.codec import RawCodec, TypedCodec, message_id_of, one_line
from tests.client.messages import (
    KINDS,
    AccountClosed,
    Aliased,
    Anything,
    EventA,
    EventB,
    Money,
    Opened,
    Priced,
    Signed,
    decode_money,
    encode_money,
)


@pytest.mark.parametrize("message", KINDS, ids=lambda message: type(message).__name__)
def test_encode_and_decode_are_inverse(message: object) -> None:
    codec = TypedCodec[Any](Anything)
    name, data = codec.encode(message)
    assert name == type(message).__name__
    assert b"\n" not in data
    assert codec.decode(name, data.decode(), "s", 1) == message
    # What comes back from jsonb has other spaces and another order.
    parsed = json.loads(data)
    if isinstance(parsed, dict):
        parsed = dict(reversed(parsed.items()))
    assert codec.decode(name, json.dumps(parsed, indent=1), "s", 1) == message


def test_encode_does_not_pass_through_other_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    codec = TypedCodec[Any](EventA | AccountClosed)
    for owner, name in ((json, "loads"), (json, "dumps"), (msgspec, "to_builtins")):
        monkeypatch.setattr(owner, name, refuse)
    for message in (EventA(1), AccountClosed()):
        type_name, data = codec.encode(message)
        assert codec.decode(type_name, data.decode(), "s", 1) == message


def test_encoders_and_decoders_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = TypedCodec[Any](EventA | EventB)
    monkeypatch.setattr(msgspec.json, "Decoder", None)
    monkeypatch.setattr(msgspec.json, "Encoder", None)
    name, data = codec.encode(EventA(1))
    assert codec.decode(name, data.decode(), "s", 1) == EventA(1)


def test_a_pydantic_model_is_written_by_name_and_read_by_name_or_alias() -> None:
    codec = TypedCodec[Any](Aliased)
    data = {"first": 1, "second": 2, "third": 3, "address": {"house_number": 4}}
    aliased = {"firstNumber": 1, "secondNumber": 2, "third": 3, "address": {"houseNumber": 4}}
    message = codec.decode("Aliased", json.dumps(data), "s", 1)
    assert codec.decode("Aliased", json.dumps(aliased), "s", 1) == message
    assert json.loads(codec.encode(message)[1]) == data


def test_a_mapping_writes_the_first_name() -> None:
    codec = TypedCodec[Any]({"a": EventA, "b": EventB, "older": EventA})
    assert codec.encode(EventA(1))[0] == "a"
    assert codec.decode("older", '{"num": 1}', "s", 1) == EventA(1)


def test_a_mapping_is_copied() -> None:
    messages: dict[str, type] = {"a": EventA}
    codec = TypedCodec[Any](messages)
    messages["b"] = EventB
    with pytest.raises(UnknownMessageTypeError):
        codec.decode("b", "{}", "s", 1)


def test_a_hook_that_raises_is_heard() -> None:
    def raise_key_error(kind: type, value: object) -> object:
        raise KeyError("Priced")

    codec = TypedCodec[Any](Priced, encode_money, raise_key_error)
    with pytest.raises(KeyError):
        codec.decode("Priced", '{"price": 1}', "s", 1)
    failing = TypedCodec[Any](Money, encode_money, decode_money)
    with pytest.raises((NotImplementedError, MessageDecodeError)):
        failing.decode("Money", '"text"', "s", 1)


def test_a_decode_error_says_where() -> None:
    codec = TypedCodec[Any](EventA)
    with pytest.raises(MessageDecodeError) as caught:
        codec.decode("EventA", '{"num": "x"}', "account-1", 7)
    text = str(caught.value)
    assert "account-1" in text
    assert "version 7" in text
    assert "$.num" in text
    assert isinstance(caught.value.__cause__, msgspec.ValidationError)


def test_raw_takes_and_gives_text_as_it_is() -> None:
    codec = RawCodec()
    assert codec.encode(RawMessage("A", b'{"a": "\xc3\xa4"}')) == ("A", b'{"a": "\xc3\xa4"}')
    assert codec.decode("A", '{"a": "ä"}', "s", 1) == RawMessage("A", '{"a": "ä"}'.encode())


@pytest.mark.parametrize(
    ("given", "line"), [(b"{}", b"{}"), (b"{\n}\n", b"{}"), (b'["\\n"]', b'["\\n"]')]
)
def test_one_line_has_no_line_break(given: bytes, line: bytes) -> None:
    assert one_line(given) == line


@pytest.mark.parametrize("data", [b'{"a": "x\ny"}', b"[1,\n", b'"\xff"', b'"\0"'])
def test_raw_refuses_what_is_no_json(data: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        RawCodec().encode(RawMessage("A", data))


def test_message_id_is_what_the_message_says() -> None:
    signed = Signed(text="x")
    assert message_id_of(signed) == signed.event_id
    assert message_id_of(EventA(1)) is None
    assert message_id_of(Opened("Ada")) is None


class Wrong:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def get_message_id(self) -> object:
        return self.answer


@pytest.mark.parametrize("answer", [None, str(UUID(int=7)), 1, UUID(int=7).bytes])
def test_message_id_must_be_a_uuid(answer: object) -> None:
    with pytest.raises(InvalidArgumentError, match="Wrong"):
        message_id_of(Wrong(answer))


def test_message_id_zero_is_an_id() -> None:
    assert message_id_of(Wrong(UUID(int=0))) == UUID(int=0)


class Measured(msgspec.Struct):
    """A number that JSON cannot always hold, and one that may be missing."""

    value: float
    error: float | None = None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_encode_refuses_what_could_not_be_read_back(value: float) -> None:
    codec = TypedCodec[Measured](Measured)
    with pytest.raises(InvalidArgumentError):
        codec.encode(Measured(value))
    assert codec.encode(Measured(1.5)) == ("Measured", b'{"value":1.5,"error":null}')


@pytest.mark.parametrize("types", [[Measured], ["Measured", Measured], [3]])
def test_raw_has_no_names_of_classes(types: list[Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="names"):
        RawCodec().names_of(types)
    assert RawCodec().names_of(["Measured", "b"]) == ("Measured", "b")


def test_another_class_of_the_same_name_is_told_as_such() -> None:
    def again() -> Any:
        class Measured(msgspec.Struct):
            value: float

        return Measured

    codec = TypedCodec[Any](Measured)
    for refused in (lambda: codec.encode(again()(1.5)), lambda: codec.names_of([again()])):
        with pytest.raises(InvalidArgumentError, match="another class of the same name"):
            refused()
    with pytest.raises(InvalidArgumentError) as caught:
        codec.encode(1)
    assert "another class" not in str(caught.value)


def test_names_of_a_type_take_no_longer_among_many_types() -> None:
    def steps(count: int) -> int:
        """Instructions that run to find the names of ten of so many types."""
        classes = [msgspec.defstruct(f"Type{n}", [("field", int)]) for n in range(count)]
        codec: TypedCodec[Any] = TypedCodec({cls.__name__: cls for cls in classes})
        steps = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal steps
            frame.f_trace_opcodes = True
            steps += event == "opcode"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            names = codec.names_of(classes[-10:])
        finally:
            sys.settrace(before)
        assert names == tuple(cls.__name__ for cls in classes[-10:])
        return steps

    assert steps(1000) == steps(10)
