"""What handlers take, from their annotations."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Optional, Union

import msgspec
import psycopg
import pytest

from pgstore import RawMessage, StoredMessage
from pgstore._core.handlers import Handler, batch_handler, message_handler, refuse_other_color


class A(msgspec.Struct):
    num: int


class B(msgspec.Struct):
    text: str


class Other(msgspec.Struct):
    pass


class Own(psycopg.Connection[Any]):
    pass


KNOWN = frozenset({A, B})
Tx = psycopg.Connection[Any]


def registered(function: Callable[..., Any]) -> Handler:
    return message_handler(function, KNOWN, psycopg.Connection)


def annotated(annotation: Any, **others: Any) -> Callable[..., Any]:
    """A function of a message, with these annotations."""
    if others:

        def two(message: Any, tx: Any) -> None:
            return None

        two.__annotations__ = {"message": annotation, **others}
        return two

    def one(message: Any) -> None:
        return None

    one.__annotations__ = {"message": annotation}
    return one


@pytest.mark.parametrize(
    ("annotation", "types", "stored"),
    [
        (A, {A}, False),
        ("A", {A}, False),
        (A | B, {A, B}, False),
        ("A | B", {A, B}, False),
        (Union[A, B], {A, B}, False),  # noqa: UP007
        (Annotated[A, "note"], {A}, False),
        (StoredMessage[A], {A}, True),
        ("StoredMessage[A]", {A}, True),
        (StoredMessage[A | B], {A, B}, True),
        (StoredMessage[A] | StoredMessage[B], {A, B}, True),
    ],
)
def test_message_handler_takes_the_annotated_types(
    annotation: Any, types: set[type], stored: bool
) -> None:
    handler = registered(annotated(annotation))
    assert (set(handler.types), handler.takes_stored) == (types, stored)
    assert not handler.takes_transaction


@pytest.mark.parametrize(
    "annotation",
    [
        Other,
        int,
        Any,
        None,
        Optional[A],  # noqa: UP045
        A | Other,
        list[A],
        StoredMessage,
        StoredMessage[Other],
        A | StoredMessage[B],
        StoredMessage[A] | B,
        list[StoredMessage[A]],
        "A | Unheard",
        "psycopg.Nothing",
    ],
)
def test_message_handler_refuses_what_no_message_can_be(annotation: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        registered(annotated(annotation))


class Unread(msgspec.Struct):
    """A class that can be called, and whose signature is made of its annotations."""

    field: "Unheard"  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("register", [message_handler, batch_handler])
@pytest.mark.parametrize(
    ("function", "name", "fault"),
    [
        (annotated("Unheard"), "one", "NameError: name 'Unheard' is not defined"),
        (annotated("psycopg.Nothing"), "one", "AttributeError: "),
        (annotated("1 / 0"), "one", "ZeroDivisionError: division by zero"),
        (annotated("list["), "one", "SyntaxError: "),
        (annotated(A, tx="Unheard"), "two", "NameError: name 'Unheard' is not defined"),
        (Unread, "Unread", "NameError: name 'Unheard' is not defined"),
    ],
    ids=["name", "attribute", "value", "syntax", "transaction", "class"],
)
def test_annotations_that_cannot_be_evaluated_are_told(
    register: Any, function: Any, name: str, fault: str
) -> None:
    with pytest.raises(TypeError) as caught:
        register(function, KNOWN, psycopg.Connection)
    text = str(caught.value)
    assert name in text
    assert f": its annotations cannot be read: {fault}" in text
    assert text.endswith(": annotate it with classes that its module defines or imports")


def test_an_annotation_without_a_text_is_refused() -> None:
    class Textless:
        def __repr__(self) -> str:
            raise AssertionError("no text")

        def __call__(self) -> None: ...

    for register in (message_handler, batch_handler):
        with pytest.raises(TypeError, match="Textless"):
            register(annotated(Textless()), KNOWN, psycopg.Connection)


@pytest.mark.parametrize("second", [psycopg.Connection, Tx, Own, Any, "psycopg.Connection[Any]"])
def test_a_second_parameter_takes_the_transaction(second: Any) -> None:
    assert registered(annotated(A, tx=second)).takes_transaction


@pytest.mark.parametrize("second", [int, psycopg.Cursor, psycopg.AsyncConnection, StoredMessage[A]])
def test_another_second_parameter_is_refused(second: Any) -> None:
    with pytest.raises(TypeError):
        registered(annotated(A, tx=second))


def test_parameters_that_cannot_be_given_are_refused() -> None:
    def nothing() -> None: ...

    def missing(message) -> None: ...  # type: ignore[no-untyped-def]

    def three(message: A, tx: Tx, more: int) -> None: ...

    def keyword(message: A, *, tx: Tx) -> None: ...

    def many(*messages: A) -> None: ...

    def default(message: A, tries: int = 3) -> None: ...

    for function in (nothing, missing, three, keyword, many, default):
        with pytest.raises(TypeError):
            registered(function)


def test_an_annotation_that_is_not_known_here_is_a_type_error() -> None:
    class Local(msgspec.Struct):
        pass

    with pytest.raises(TypeError, match="Local"):
        registered(annotated("Local"))


class Service:
    """What handlers can be besides functions; annotations of its own are not of messages."""

    name: str = "service"

    def on_a(self, message: A, tx) -> None:  # type: ignore[no-untyped-def]
        pass

    def __call__(self, message: A | B) -> None:
        pass

    @classmethod
    def of_class(cls, message: A) -> None:
        pass

    @staticmethod
    def of_none(message: A) -> None:
        pass

    def on_some(self, kind: str, message: B, *, tries: int = 3) -> None:
        pass

    on_b = functools.partialmethod(on_some, "b")


def with_service(service: Service, message: A, tx: Tx, tries: int) -> None:
    pass


def counted(message: A, tx: Tx, tries: int) -> None:
    pass


OPEN: Any = None
cached = functools.lru_cache(Service.of_none)


@pytest.mark.parametrize(
    ("function", "types", "takes_transaction"),
    [
        (Service().on_a, {A}, True),
        (Service(), {A, B}, False),
        (Service.of_class, {A}, False),
        (Service.of_none, {A}, False),
        (Service().on_b, {B}, False),
        (cached, {A}, False),
        (functools.partial(with_service, Service(), tries=3), {A}, True),
        (functools.partial(functools.partial(counted, tries=3)), {A}, True),
        (functools.partial(Service()), {A, B}, False),
        (functools.partial(Service().on_some, "b", tries=1), {B}, False),
    ],
    # Not of the functions: their texts are others in each process.
    ids=[
        "method",
        "instance",
        "class method",
        "static method",
        "partial method",
        "cached",
        "partial",
        "partial of a partial",
        "partial of an instance",
        "partial of a method",
    ],
)
def test_whatever_can_be_called_with_a_message_is_taken(
    function: Callable[..., Any], types: set[type], takes_transaction: bool
) -> None:
    handler = registered(function)
    assert (set(handler.types), handler.takes_transaction) == (types, takes_transaction)
    assert handler.function is function


def test_a_partial_function_without_a_message_left_is_refused_by_its_name() -> None:
    for wrong in (functools.partial(counted, A(1), tries=1), functools.partial(counted, tx=OPEN)):
        with pytest.raises(TypeError, match="counted"):
            registered(wrong)


def test_a_handler_of_the_other_color_is_refused() -> None:
    """Called and not awaited, it would be acknowledged without having done anything."""

    async def asynchronous(message: A) -> None: ...

    def synchronous(message: A) -> None: ...

    def generator(message: A) -> Iterator[None]:
        yield

    class Callable_:
        async def __call__(self, message: A) -> None: ...

    partial = functools.partial
    for function in (
        asynchronous,
        generator,
        Callable_(),
        partial(asynchronous),
        partial(Callable_()),
    ):
        with pytest.raises(TypeError):
            refuse_other_color(function, psycopg.Connection)
        with pytest.raises(TypeError):
            registered(function)
    with pytest.raises(TypeError):
        registered(asynchronous)
    for wrong in (synchronous, generator):
        with pytest.raises(TypeError):
            message_handler(wrong, KNOWN, psycopg.AsyncConnection)
    assert message_handler(asynchronous, KNOWN, psycopg.AsyncConnection).types == {A}


def test_the_connection_of_the_other_color_is_refused() -> None:
    async def wrong(message: A, tx: psycopg.Connection[Any]) -> None: ...

    async def right(message: A, tx: psycopg.AsyncConnection[Any]) -> None: ...

    with pytest.raises(TypeError):
        message_handler(wrong, KNOWN, psycopg.AsyncConnection)
    assert message_handler(right, KNOWN, psycopg.AsyncConnection).takes_transaction


@pytest.mark.parametrize(
    ("annotation", "types"),
    [
        (list[StoredMessage[A]], {A}),
        (list[StoredMessage[A | B]], {A, B}),
        (Sequence[StoredMessage[A]], {A}),
        (list[StoredMessage[Any]], {A, B}),
        ("list[StoredMessage[A]]", {A}),
    ],
)
def test_batch_handler_takes_the_annotated_types(annotation: Any, types: set[type]) -> None:
    handler = batch_handler(annotated(annotation), KNOWN, psycopg.Connection)
    assert (set(handler.types), handler.takes_stored) == (types, True)
    assert batch_handler(annotated(annotation, tx=Tx), KNOWN, psycopg.Connection).takes_transaction


@pytest.mark.parametrize(
    "annotation",
    [A, list, list[A], list[Any], StoredMessage[A], list[StoredMessage[Other]], tuple[A], Any],
)
def test_batch_handler_refuses_what_no_batch_can_be(annotation: Any) -> None:
    with pytest.raises(TypeError):
        batch_handler(annotated(annotation), KNOWN, psycopg.Connection)


def test_raw_messages_are_handled_as_such() -> None:
    handler = message_handler(annotated(RawMessage), frozenset({RawMessage}), psycopg.Connection)
    assert handler.types == {RawMessage}


def test_another_class_of_the_same_name_is_told_as_such() -> None:
    again = type("A", (), {})
    with pytest.raises(TypeError, match="another class of the same name"):
        registered(annotated(again))
