"""Helpers of users' tests, contexts and declarations, with values that they do not expect."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgstore.testing
from pgstore import Decider, MessageStore, Snapshots, StoredMessage, Upcaster, message_context
from pgstore.otel import instrument
from pgstore.testing import compare_messages, frozen_ids, handle, stored
from tests.fuzz.judging import check_documented, fuzzed
from tests.fuzz.values import (
    ANYTHING,
    EXPECTED,
    MESSAGE,
    MESSAGES,
    RAW_MESSAGE,
    Event,
    Given,
    Object,
    arguments,
)

store = MessageStore[Any]("", messages=MESSAGES)
decider: Decider[Any, Any] = store.decider(lambda state, _: state, Event)
repository = store.repository(Object, "fuzz")
subscription = store.subscription("fuzz")


@subscription.handler
def take(event: StoredMessage[Event]) -> None:
    pass


def old(stored: dict[str, Any]) -> Event:
    return Event()


def change(aggregate: Object, value: Any) -> None:
    aggregate.changes = value


def enter(*values: Any) -> None:
    with message_context(*values[:1], user=values):
        pass


def enter_correlated(*values: Any) -> None:
    with message_context(correlation_id=values[0]):
        pass


def freeze(*values: Any) -> None:
    with frozen_ids(*values[:1]):
        pgstore.new_message_id()


CALLS: list[Callable[..., object]] = [
    lambda *values: pgstore.testing.given(decider, *values),
    lambda *values: pgstore.testing.given(repository, *values),
    lambda *values: pgstore.testing.given(*values[:1]),
    lambda *values: pgstore.testing.given(decider).when(lambda _: values),
    lambda *values: pgstore.testing.given(decider).when(lambda _: values[0]),
    lambda *values: [pgstore.testing.given(repository).when(change, each) for each in values],
    lambda *values: pgstore.testing.given(decider).when(lambda _: Event(1)).then(*values),
    lambda *values: compare_messages(values),
    lambda *values: compare_messages(*values[:1]),
    lambda *values: compare_messages([stored(Event(1))], *values),
    lambda *values: handle(subscription, *values),
    enter,
    enter_correlated,
    freeze,
    lambda *values: MessageStore("", messages=Event, upcasters=values),
    lambda *values: MessageStore("", messages=Event, upcasters=[Upcaster(values[0], old)]),
]


@pytest.mark.parametrize("call", CALLS)
def test_it_is_taken_or_refused(call: Callable[..., object]) -> None:
    @fuzzed(40)
    @given(
        st.lists(ANYTHING | MESSAGE | RAW_MESSAGE, min_size=1, max_size=2).map(
            lambda values: Given(*values)
        )
    )
    def check(given: Given) -> None:
        try:
            call(*given.values)
        except AssertionError:
            pass
        except Exception as error:
            check_documented(error)

    check()


@pytest.mark.parametrize(
    "function", [stored, Snapshots, store.decider, store.repository, instrument, frozen_ids]
)
def test_arguments_are_taken_or_refused(function: Callable[..., Any]) -> None:
    expected = {
        **EXPECTED,
        "version": st.just(1),
        "added_at": st.just(datetime(2026, 1, 1, tzinfo=UTC)),
        "code_version": st.just(1),
        "every": st.sampled_from([1, lambda state, count: True]),
        "store": st.builds(lambda: MessageStore[Any]("", messages=MESSAGES)),
        "create_spans": st.booleans(),
        "tracer_provider": st.none(),
        "meter_provider": st.none(),
    }
    if function is Snapshots:
        expected["name"] = st.just("fuzz")

    @fuzzed(60)
    @given(arguments(function, expected))
    def check(given: Given) -> None:
        try:
            function(**given.named)
        except Exception as error:
            check_documented(error)

    check()
