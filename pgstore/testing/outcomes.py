"""The outcome of a decision or of a handler, and how it differs from the expected one."""

from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Generic, Self

from pgstore._core.arguments import describe
from pgstore._core.differences import parts_of
from pgstore._core.messages import E, StoredMessage
from pgstore._core.states import S
from pgstore.errors import InvalidArgumentError


class Outcome(Generic[S, E]):
    """The outcome of a `when`: messages and a state, or an error."""

    def __init__(
        self, what: str, state: S, messages: Iterable[E] = (), error: Exception | None = None
    ) -> None:
        self._what = what
        self._state = state
        self._messages = tuple(messages)
        self.error = error

    @property
    def state(self) -> S:
        """The state after the messages; raises the error, if there was one."""
        if self.error is not None:
            raise self.error
        return self._state

    @property
    def messages(self) -> tuple[E, ...]:
        """The new messages; raises the error, if there was one."""
        if self.error is not None:
            raise self.error
        return self._messages

    def then(self, *expected: E | Exception | type[Exception]) -> Self:
        """Compare the new messages with these; without any, there must be none.

        Or give one error: a class, or an error whose class and text must be the same.

        Raises:
            AssertionError: it is something else, which the error tells field by field.
        """
        __tracebackhide__ = True
        errors = [each for each in expected if _is_error(each)]
        if errors:
            if len(expected) > 1:
                raise TypeError("then takes messages, or one error")
            self._compare_error(errors[0])
            return self
        _refuse_no_messages("then", expected)
        if self.error is not None:
            wanted = ", ".join(map(_repr, expected)) or "no messages"
            raise AssertionError(
                f"{self._what} raised {_named(self.error)}\n  expected: {wanted}"
            ) from self.error
        if lines := _differences(expected, self._messages):
            raise AssertionError("\n".join([f"{self._what}: not the expected messages", *lines]))
        return self

    def _compare_error(self, expected: object) -> None:
        __tracebackhide__ = True
        wanted = expected.__name__ if isinstance(expected, type) else _named(expected)
        if self.error is None:
            made = ", ".join(map(_repr, self._messages)) or "no messages"
            raise AssertionError(f"{self._what} made {made}\n  expected: {wanted}")
        if isinstance(expected, type):
            same = isinstance(self.error, expected)
        else:
            same = type(self.error) is type(expected) and str(self.error) == str(expected)
        if not same:
            raise AssertionError(
                f"{self._what} raised {_named(self.error)}\n  expected: {wanted}"
            ) from self.error


def compare_messages(actual: Iterable[StoredMessage[E]], *expected: E) -> None:
    """Compare what a store has read with these messages.

    Raises:
        AssertionError: they differ, which the error tells field by field.
    """
    __tracebackhide__ = True
    _refuse_no_messages("compare_messages", expected)
    if lines := _differences(expected, [each.message for each in _stored(actual)]):
        raise AssertionError("\n".join(["not the expected messages", *lines]))


def _stored(actual: Any) -> Iterator[StoredMessage[Any]]:
    """The messages that a store has read; anything else is refused."""
    if isinstance(actual, AsyncIterable):
        raise InvalidArgumentError(
            "compare_messages takes a list, not an async iterator: [each async for each in …]"
        )
    for each in actual if isinstance(actual, Iterable) else [actual]:
        if not isinstance(each, StoredMessage):
            raise InvalidArgumentError(
                "compare_messages first takes the stored messages, as a store reads them,"
                f" not {describe(each)}"
            )
        yield each


def _refuse_no_messages(function: str, expected: Iterable[object]) -> None:
    """Refuse what is expected in the place of messages by mistake: it would equal none."""
    for each in expected:
        if each is None or isinstance(each, list | tuple | type | StoredMessage):
            raise InvalidArgumentError(
                f"{function} takes the expected messages one by one, or none: not {describe(each)}"
            )


def _is_error(value: object) -> bool:
    return isinstance(value, Exception) or (
        isinstance(value, type) and issubclass(value, Exception)
    )


def _named(error: object) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _differences(expected: Sequence[object], actual: Sequence[object]) -> list[str]:
    """Lines that show both; none if they are the same."""
    lines: list[str] = []
    same = True
    # By their classes: so a message that is missing does not make all others differ.
    matcher = SequenceMatcher(None, list(map(type, expected)), list(map(type, actual)), False)
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind != "equal":
            same = False
            lines += [f"  - missing: {_shown(each, actual)}" for each in expected[first:last]]
            lines += [f"  + not expected: {_shown(each, expected)}" for each in actual[start:end]]
            continue
        for wanted, found in zip(expected[first:last], actual[start:end], strict=True):
            fields = list(_fields(wanted, found))
            same = same and not fields
            lines.append(f"  {'!' if fields else ' '} {_repr(found)}")
            lines += [
                f"      {path}: {_repr(is_)}, expected {_repr(was)}" for path, was, is_ in fields
            ]
    return [] if same else lines


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # a number of more than 4,300 digits, for example
        return f"a value of {type(value).__name__}"


def _shown(value: object, others: Sequence[object]) -> str:
    """A message; with its module, if one of the others has a class of the same name."""
    cls = type(value)
    alike = any(type(each).__name__ == cls.__name__ and type(each) is not cls for each in others)
    return f"{cls.__module__}.{_repr(value)}" if alike else _repr(value)


def _fields(
    expected: object, actual: object, path: str = ""
) -> Iterator[tuple[str, object, object]]:
    """The innermost values that differ: where, the expected one, the other."""
    if _equal(expected, actual):
        return
    ours, theirs = parts_of(expected), parts_of(actual)
    found = []
    if ours is not None and theirs is not None and type(expected) is type(actual):
        if isinstance(expected, Mapping):  # in any order
            ours.sort(key=lambda each: each.label)
            theirs.sort(key=lambda each: each.label)
        if [each.label for each in ours] == [each.label for each in theirs]:
            found = [
                difference
                for our, their in zip(ours, theirs, strict=True)
                for difference in _fields(our.value, their.value, path + our.label)
            ]
            if not found and type(expected).__eq__ is object.__eq__:
                return  # a class without a comparison of its own
    yield from found or [(path.removeprefix(".") or "it", expected, actual)]


def _equal(expected: object, actual: object) -> bool:
    try:
        return bool(expected == actual)
    except Exception:  # no bool: of an array, for example
        return False
