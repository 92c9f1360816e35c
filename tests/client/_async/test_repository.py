from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

import pgstore
from pgstore import AsyncMessageStore, Snapshots
from tests.client.messages import EventA


@dataclass
class Account:
    id: str
    version: int = 0
    balance: int = 0
    changes: list[EventA] = field(default_factory=list)

    def deposit(self, amount: int) -> None:
        message = EventA(amount)
        self.evolve(message)
        self.changes.append(message)

    def evolve(self, message: EventA) -> None:
        self.balance += message.num


class Unsaved:
    """Nothing tells how it would be written."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.version = 0
        self.changes: list[EventA] = []

    def evolve(self, message: EventA) -> None:
        pass


async def test_aggregate_is_added_and_got(store: AsyncMessageStore[Any], category: str) -> None:
    accounts = store.repository(Account, category)
    ada = Account("ada")
    ada.deposit(10)
    ada.deposit(5)
    position = await accounts.add(ada, metadata={"by": "me"})
    assert position is not None
    assert (position.stream, position.version) == (f"{category}-ada", 2)
    assert (ada.version, ada.changes) == (2, [])
    assert await accounts.get("ada") == ada == Account("ada", 2, 15)
    assert (await accounts.save(ada)) is None
    last = await store.last(f"{category}-ada")
    assert last is not None
    assert last.metadata == {"by": "me"}


async def test_aggregate_that_is_not_there(store: AsyncMessageStore[Any], category: str) -> None:
    with pytest.raises(pgstore.StreamNotFoundError, match=f"{category}-bob"):
        await store.repository(Account, category).get("bob")


async def test_aggregate_that_is_there_is_not_added(
    store: AsyncMessageStore[Any], category: str
) -> None:
    accounts = store.repository(Account, category)
    for error in (None, pgstore.OptimisticConcurrencyError):
        ada = Account("ada")
        ada.deposit(10)
        if error is None:
            await accounts.add(ada)
        else:
            with pytest.raises(error):
                await accounts.add(ada)
            assert ada.changes == [EventA(10)]
    for wrong in (await accounts.get("ada"), Account("bob")):
        with pytest.raises(pgstore.InvalidArgumentError, match="not new, or has no changes"):
            await accounts.add(wrong)


async def test_save_refuses_what_others_have_changed(
    store: AsyncMessageStore[Any], category: str
) -> None:
    accounts = store.repository(Account, category, cache=5)
    ada = Account("ada")
    ada.deposit(10)
    await accounts.add(ada)
    one, other = await accounts.get("ada"), await accounts.get("ada")
    one.deposit(1)
    other.deposit(2)
    await accounts.save(one)
    with pytest.raises(pgstore.OptimisticConcurrencyError):
        await accounts.save(other)
    assert (await accounts.get("ada")).balance == 11


async def test_edit_saves_at_the_end_unless_the_block_fails(
    store: AsyncMessageStore[Any], category: str
) -> None:
    accounts = store.repository(Account, category, cache=5)
    ada = Account("ada")
    ada.deposit(10)
    await accounts.add(ada)
    async with accounts.edit("ada", metadata={"n": 1}) as edited:
        edited.deposit(1)
    with suppress(ZeroDivisionError):
        async with accounts.edit("ada") as edited:
            edited.deposit(1)
            edited.deposit(1 // 0)
    async with store.transaction() as conn, accounts.edit("ada", conn=conn) as edited:
        edited.deposit(2)
    assert await accounts.get("ada") == Account("ada", 3, 13)


async def test_several_aggregates_change_in_one_transaction(
    store: AsyncMessageStore[Any], category: str
) -> None:
    accounts = store.repository(Account, category, cache=5)
    for id in ("ada", "bob"):
        account = Account(id)
        account.deposit(10)
        await accounts.add(account)
    for error in (ZeroDivisionError, None):
        with suppress(ZeroDivisionError):
            async with (
                store.transaction() as conn,
                accounts.edit("ada", conn=conn) as ada,
                accounts.edit("bob", conn=conn) as bob,
            ):
                ada.deposit(-3)
                bob.deposit(3)
                await accounts.save(ada, conn=conn)
                if error is not None:
                    raise error
        both = [(await accounts.get(id)).balance for id in ("ada", "bob")]
        assert both == ([10, 10] if error else [7, 13])


async def test_object_of_a_transaction_that_was_rolled_back_is_not_saved(
    store: AsyncMessageStore[Any], category: str
) -> None:
    accounts = store.repository(Account, category)
    ada = Account("ada")
    ada.deposit(10)
    with suppress(ZeroDivisionError):
        async with store.transaction() as conn:
            await accounts.add(ada, conn=conn)
            raise ZeroDivisionError
    ada.deposit(1)
    with pytest.raises(pgstore.OptimisticConcurrencyError):
        await accounts.save(ada)


async def test_aggregates_have_snapshots(store: AsyncMessageStore[Any], category: str) -> None:
    accounts = store.repository(Account, category, snapshots=Snapshots("account", every=2))
    ada = Account("ada")
    for _ in range(3):
        ada.deposit(1)
    await accounts.add(ada)
    assert await accounts.get("ada") == Account("ada", 3, 3)
    with pytest.raises(TypeError):
        store.repository(Unsaved, category, snapshots=Snapshots("unsaved"))
    await store._database.rows("SELECT STORE.truncate_stream(%s, 3)", (f"{category}-ada",))
    assert await accounts.get("ada") == Account("ada", 3, 3)
    async with accounts.edit("ada") as edited:
        edited.deposit(7)
    assert await accounts.get("ada") == Account("ada", 4, 10)


async def test_what_a_repository_takes(store: AsyncMessageStore[Any]) -> None:
    wrong: list[tuple[Any, Any, str]] = [
        (Account, "two-parts", "category"),
        (Account, "", "category"),
        (Account, "a\0", "category"),
        (Account, None, "category"),
        (None, "account", "aggregate"),
        (lambda: Account("1"), "account", "aggregate"),
        (str, "account", "evolve of the aggregate"),
    ]
    for aggregate, category, argument in wrong:
        with pytest.raises(pgstore.InvalidArgumentError, match=f"^{argument}"):
            store.repository(aggregate, category)


async def test_what_is_no_aggregate_is_refused_before_anything_is_written(
    store: AsyncMessageStore[Any], category: str
) -> None:
    accounts: Any = store.repository(Account, category)
    for call in (accounts.add, accounts.save):
        for wrong in (None, "1", EventA(1)):
            with pytest.raises(pgstore.InvalidArgumentError, match="has no id"):
                await call(wrong)
        for changes in (None, (EventA(1),)):
            account = Account("1", changes=changes)  # type: ignore[arg-type]
            with pytest.raises(pgstore.InvalidArgumentError, match="must be a list"):
                await call(account)
    assert await store.stream_version(f"{category}-1") == 0
