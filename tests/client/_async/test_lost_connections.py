"""Handlers whose connection the server ends, and servers that cannot do what handlers ask."""

from typing import Any

import psycopg
import pytest

from pgstore import AsyncMessageStore
from tests.client._async.running import Notes, numbers, owners
from tests.client.messages import EventA

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]

ENDS = {
    "its own backend": "SELECT pg_terminate_backend(pg_backend_pid())",
    "idle in a transaction": "SET LOCAL idle_in_transaction_session_timeout = '1ms'",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("max_attempts", [1, 3])
async def test_message_whose_handler_has_its_connection_ended_is_parked_and_no_other(
    store: Store, category: str, end: str, max_attempts: int
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(9)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=max_attempts
    )

    @subscription.handler
    async def copy(message: EventA, tx: Transaction) -> None:
        await store.write(f"copy{category}", message, conn=tx)
        if message.num == 5:
            await tx.execute(ENDS[end])
            async with store.transaction() as conn:
                await conn.execute("SELECT pg_sleep(0.1)")
            await tx.execute("SELECT 1")

    lost = 0
    for _ in range(max_attempts + 3):
        try:
            await store.run_once(subscription)
            break
        except psycopg.OperationalError:
            lost += 1
    assert await owners(subscription) == []
    (parked,) = await subscription.parked()
    assert (parked.version, parked.attempts) == (6, max_attempts)
    assert parked.error is not None
    assert parked.error.startswith("the connection of the handler's transaction was lost: ")
    assert await numbers(store, f"copy{category}") == [0, 1, 2, 3, 4, 6, 7, 8]
    assert lost == max_attempts + 2


PASSING = {
    "53100": psycopg.errors.DiskFull,
    "53300": psycopg.errors.TooManyConnections,
    "57P01": psycopg.errors.AdminShutdown,
    "58030": psycopg.errors.IoError,
    "25006": psycopg.errors.ReadOnlySqlTransaction,
}


@pytest.mark.parametrize("sqlstate", PASSING)
@pytest.mark.parametrize("takes_transaction", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_what_the_server_cannot_do_is_no_failure_of_the_message(
    store: Store, category: str, sqlstate: str, takes_transaction: bool, wrapped: bool
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(4)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    seen: list[int] = []
    broken = [True]

    async def handle(number: int) -> None:
        seen.append(number)
        if number == 2 and broken:
            if wrapped:
                raise ValueError("no") from PASSING[sqlstate]("no")
            raise PASSING[sqlstate]("no")

    if takes_transaction:

        @subscription.handler
        async def with_it(message: EventA, tx: Transaction) -> None:
            await handle(message.num)
    else:

        @subscription.handler
        async def without(message: EventA) -> None:
            await handle(message.num)

    notes = Notes()
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            await store.run_once(subscription, raise_errors=False, hooks=notes)
    assert await owners(subscription) == []
    (partition,) = await subscription.partitions()
    assert (partition.attempts, notes.failures, await subscription.parked()) == (0, [], [])
    broken.clear()
    await store.run_once(subscription)
    if not takes_transaction:  # what was handled before is not handled again
        assert seen == [0, 1, 2, 2, 2, 2, 3]


async def test_full_disk_at_the_commit_is_no_failure_of_the_message(
    store: Store, category: str, open_connection: Any
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(3)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    table = f"t{category}"
    conn = await open_connection()
    await conn.execute(
        f"""CREATE TABLE {table} (num int);
        CREATE FUNCTION {table}() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'no space left'; END $$;
        CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON {table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {table}()""".encode()
    )

    @subscription.handler
    async def insert(message: EventA, tx: Transaction) -> None:
        await tx.execute(f"INSERT INTO {table} VALUES ({message.num})".encode())

    with pytest.raises(psycopg.OperationalError):
        await store.run_once(subscription)
    await conn.execute(f"DROP TRIGGER full_disk ON {table}".encode())
    assert await store.run_once(subscription) == 3
    assert await subscription.parked() == []
    await conn.execute(f"DROP TABLE {table}; DROP FUNCTION {table}()".encode())
