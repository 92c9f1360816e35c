"""Every method of a store and of a subscription, with values that it does not expect."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstore import AsyncMessageStore, Decider, MessageStore, Snapshots, Subscription
from tests.fuzz.judging import check_documented, fuzzed
from tests.fuzz.values import (
    ANYTHING,
    MESSAGE,
    MESSAGES,
    RAW_MESSAGE,
    Event,
    Given,
    Object,
    arguments,
)

# What takes no values; and decorators, see test_handlers.py.
_OTHERS = {"close", "aclose", "stop", "transaction", "handler", "batch_handler", "middleware"}
# Those that a runner calls.
_OTHERS |= {"refuse_to_run", "tell_unhandled", "confirm"}


def public(cls: type) -> list[str]:
    return [
        name
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and name not in _OTHERS
    ]


def handle(event: Event) -> None:
    pass


async def handle_async(event: Event) -> None:
    pass


@contextmanager
def stopped(store: Any) -> Iterator[None]:
    """Stop every `run` of the store that begins in this block."""
    ended = threading.Event()

    def stop() -> None:
        while not ended.wait(0.01):
            store.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def drained(answer: Any) -> None:
    """Read a little of what an operation gives."""
    if not hasattr(answer, "__next__"):
        return
    stop = getattr(answer, "stop", None) or answer.close
    timer = threading.Timer(0.05, stop) if hasattr(answer, "stop") else None
    if timer:
        timer.start()
    try:
        for _ in range(3):
            if next(answer, None) is None:
                break
    finally:
        if timer:
            timer.cancel()
            timer.join()
        stop()


@pytest.fixture(scope="module")
def store(fuzz_conninfo: str) -> Iterator[MessageStore[Any]]:
    with MessageStore[Any](fuzz_conninfo, messages=MESSAGES) as store:
        store.write_many("fuzz-3", [Event(number) for number in range(20)])
        yield store


def subscriptions_for(store: Any, handler: Any) -> st.SearchStrategy[Given]:
    declared = [store.subscription(name, retry_delay=0) for name in ("one", "two")]
    for each in declared:
        each.handler(handler)
    several = st.lists(st.sampled_from(declared), min_size=1, max_size=2)
    return (several | st.lists(ANYTHING, max_size=2)).map(lambda given: Given(*given))


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize("method", public(MessageStore))
def test_a_store_raises_what_is_documented(
    store: MessageStore[Any], method: str, raw: bool
) -> None:
    target: Any = store.raw if raw else store
    message = RAW_MESSAGE if raw else MESSAGE
    hostile = ANYTHING | message | st.lists(message, max_size=2)
    several = subscriptions_for(store, handle) if method.startswith("run") else st.just(Given())
    call = getattr(target, method)

    @fuzzed(30)
    @given(arguments(call, hostile=hostile), several)
    def check(given: Given, subscriptions: Given) -> None:
        try:
            with stopped(store) if method == "run" else nullcontext():
                drained(call(*subscriptions.values, **given.named))
        except Exception as error:
            check_documented(error)

    check()


@pytest.mark.parametrize("method", public(Subscription))
def test_a_subscription_raises_what_is_documented(store: MessageStore[Any], method: str) -> None:
    subscription = store.subscription("steered")
    subscription.create()
    call = getattr(subscription, method)

    @fuzzed(30)
    @given(arguments(call))
    def check(given: Given) -> None:
        if given.named.get("position", 0) != 0:
            given.named["timeout"] = 0
        try:
            call(**given.named)
        except Exception as error:
            check_documented(error)

    check()


@pytest.mark.parametrize("method", ["load", "decide", "get", "edit", "add", "save"])
def test_states_raise_what_is_documented(store: MessageStore[Any], method: str) -> None:
    rule = Snapshots("fuzz", every=1)
    decider: Decider[Any, Any] = store.decider(
        lambda state, _: state, Event, snapshots=rule, cache=1
    )
    repository = store.repository(Object, "fuzz", snapshots=rule, cache=1)
    call = getattr(decider if method in ("load", "decide") else repository, method)

    @fuzzed(60)
    @given(arguments(call, hostile=ANYTHING | MESSAGE | st.lists(MESSAGE, max_size=2)))
    def check(given: Given) -> None:
        if callable(given.named.get("decision")):  # what it raises is the caller's
            given.named["decision"] = lambda _: Event(1)
        try:
            answer = call(**given.named)
            if method == "edit":
                with answer:
                    pass
        except Exception as error:
            check_documented(error)

    check()


def test_what_a_subscription_declares_is_refused_or_used(store: MessageStore[Any]) -> None:
    """What `subscription` takes is sent to the server when the subscription is created."""
    call = store.subscription

    @fuzzed(60)
    @given(arguments(call))
    def check(given: Given) -> None:
        try:
            subscription = call(**given.named)
            subscription.handler(handle)
            subscription.drop()
            store.run_once(subscription)
        except Exception as error:
            check_documented(error)

    check()


@pytest.mark.parametrize("method", [*public(AsyncMessageStore), "create"])
def test_an_async_store_raises_what_is_documented(fuzz_conninfo: str, method: str) -> None:
    async def check_all() -> None:
        async with AsyncMessageStore[Any](fuzz_conninfo, messages=MESSAGES) as store:
            several = subscriptions_for(store, handle_async)
            target = store.subscription if method == "create" else getattr(store, method)
            several = several if method.startswith("run") else st.just(Given())
            loop = asyncio.get_running_loop()
            hostile = ANYTHING | MESSAGE | st.lists(MESSAGE, max_size=2)

            async def called(given: Given, subscriptions: Given) -> None:
                try:
                    with stopped(store) if method == "run" else nullcontext():
                        answer = target(*subscriptions.values, **given.named)
                        if method == "create":
                            answer = answer.create()
                        if inspect.isawaitable(answer):
                            await answer
                        elif hasattr(answer, "__anext__"):
                            with suppress(TimeoutError):  # there may be nothing to come
                                await asyncio.wait_for(anext(answer, None), 0.05)
                except Exception as error:
                    check_documented(error)

            @fuzzed(15)
            @given(arguments(target, hostile=hostile), several)
            def check(given: Given, subscriptions: Given) -> None:
                asyncio.run_coroutine_threadsafe(called(given, subscriptions), loop).result()

            await asyncio.to_thread(check)

    asyncio.run(check_all())
