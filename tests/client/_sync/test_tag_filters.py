# Generated from tests/client/_async/test_tag_filters.py by `python tools/unasync.py`.

"""Reads and subscriptions that choose messages by their tags."""

from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from pgstore import InvalidArgumentError, MessageStore, SubscriptionExistsError
from tests.client.messages import EventA

Store = MessageStore[Any]


def numbers(messages: Any) -> list[int]:
    return [stored.message.num for stored in messages]


@pytest.fixture
def tagged(store: Store, category: str) -> dict[str, Any]:
    """A category in which every third message has the tag of the category too; options to read."""
    start = store.safe_position()
    for number in range(12):
        tags = [f"t:{category}", f"u:{category}"] if number % 3 == 1 else [f"u:{category}"]
        store.write(f"{category}-{number % 4}", EventA(number), tags=tags)
        store.write(f"{category}x-1", EventA(-1), tags=[f"u:{category}"])
    return {"after_position": start, "tags": [f"u:{category}", f"t:{category}"]}


def test_read_all_by_tags(store: Store, tagged: dict[str, Any], category: str) -> None:
    assert numbers(store.read_all(**tagged)) == [1, 4, 7, 10]
    assert numbers(store.read_all(**tagged, max_count=2)) == [1, 4]
    assert numbers(store.read_all(**tagged, types=[EventA], stream_pattern="%-0")) == [4]
    tagged["tags"] = [f"u:{category}"]
    assert numbers(store.read_category(category, **tagged)) == list(range(12))
    assert numbers(store.read_category(f"{category}x", **tagged)) == [-1] * 12
    tagged["tags"] = [f"u:{category}", "none"]
    assert numbers(store.read_all(**tagged)) == []


def test_read_all_by_a_tag_of_many_messages(store: Store, category: str) -> None:
    many = 2500
    store.write_many(f"{category}-1", [EventA(n) for n in range(many)], tags=[category])
    assert numbers(store.read_all(tags=[category])) == list(range(many))


def test_follow_by_tags(store: Store, tagged: dict[str, Any], category: str) -> None:
    follower = store.follow(**tagged, timeout=0)
    assert numbers(follower) == [1, 4, 7, 10]
    store.write(f"{category}-2", EventA(1), tags=[f"t:{category}"])
    last = store.write(f"{category}-2", EventA(2), tags=tagged["tags"])
    assert numbers(follower) == [2]
    assert follower.position == last.global_position


@pytest.mark.parametrize("partitions", [1, 3])
def test_subscription_by_tags(
    store: Store, tagged: dict[str, Any], category: str, partitions: int
) -> None:
    options: dict[str, Any] = {
        "tags": tagged["tags"],
        "partitions": partitions,
        "start": tagged["after_position"],
    }
    name = str(uuid4())
    subscription = store.subscription(name, **options)
    handled: list[int] = []

    @subscription.handler
    def handle(message: EventA) -> None:
        handled.append(message.num)

    assert store.run_once(subscription) == 4
    assert sorted(handled) == [1, 4, 7, 10]
    assert subscription.position() > tagged["after_position"] + 20
    store.subscription(name, **options | {"tags": sorted(tagged["tags"])}).create()
    for other in ([f"t:{category}"], None):
        with pytest.raises(SubscriptionExistsError, match="tags"):
            store.subscription(name, **options | {"tags": other}).create()


def test_refilter_changes_the_tags_and_the_former_program_notices(
    store: Store, category: str
) -> None:
    old = store.subscription(category, category=category, tags=["a"])
    seen: list[int] = []

    @old.handler
    def on_a(message: EventA) -> None:
        seen.append(message.num)

    store.write(f"{category}-1", EventA(1), tags=["a"])
    assert store.run_once(old) == 1
    new = store.subscription(category, category=category, tags=["b"])
    new.refilter()
    store.write(f"{category}-1", EventA(2), tags=["a"])
    store.write(f"{category}-1", EventA(3), tags=["b"])
    with pytest.raises(SubscriptionExistsError):
        store.run_once(old)
    assert seen == [1]

    @new.handler
    def on_b(message: EventA) -> None:
        seen.append(message.num)

    assert store.run_once(new) == 1
    assert seen == [1, 3]


def test_tags_that_no_message_can_have_are_refused(store: Store) -> None:
    wrong: Any
    calls = (store.read_all, store.follow, partial(store.subscription, str(uuid4())))
    for wrong in ("a", 7, [7], ["\0"], [None]):
        for call in calls:
            with pytest.raises(InvalidArgumentError, match="tags"):
                call(tags=wrong)
    for wrong in ([], [""], ["x" * 256], [str(n) for n in range(33)]):
        with pytest.raises(InvalidArgumentError) as caught:
            numbers(store.read_all(tags=wrong))
        assert caught.value.argument == "tags_filter"
        with pytest.raises(InvalidArgumentError):
            store.subscription(str(uuid4()), tags=wrong).create()
