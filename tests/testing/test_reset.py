"""`reset`: a store that an application keeps, as new for the next test."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

import pgstore
from pgstore.testing import FreshStore, FreshStores, reset
from pgstore.testing._async import resetting as async_resetting
from pgstore.testing._sync import resetting as sync_resetting
from tests.conftest import Connect
from tests.testing.test_fresh_stores import Event, content, fresh, opened, use

__all__ = ["fresh"]


@pytest.fixture
def used(fresh: FreshStores, connect: Connect) -> Iterator[FreshStore]:
    """A store with rows in most tables, and with rights that a role was given."""
    with fresh.taken() as taken:
        use(taken)
        grant = sql.SQL("SELECT {}.grant_access('pg_monitor', 'read')")
        connect().execute(grant.format(sql.Identifier(taken.name)))
        yield taken


def test_nothing_stays_but_rights_and_positions(used: FreshStore, connect: Connect) -> None:
    conn = connect()
    before = content(conn, used.name)
    with opened(used) as store:
        last = store.safe_position()
        reset(store)
        after = content(conn, used.name)
        kept = {name for name in after if after[name] and not name.endswith("_seq")}
        assert kept == {"migrations", "grants"}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        position = store.write("event-1", Event(1), expected_version=0)
        assert (position.version, position.global_position) == (1, last + 1)


def test_subscription_that_a_program_keeps_begins_anew(fresh: FreshStores) -> None:
    with fresh.taken() as taken, opened(taken) as store:
        seen = []
        subscription = store.subscription("all")

        @subscription.handler
        def see(event: Event) -> None:
            seen.append(event.num)

        for number in range(3):
            store.write("event-1", Event(number), expected_version=0)
            assert store.run_once(subscription) == 1
            reset(store)
        assert seen == [0, 1, 2]


def test_pool_may_make_rows_of_its_own(used: FreshStore) -> None:
    with (
        ConnectionPool(used.conninfo, min_size=1, kwargs={"row_factory": dict_row}) as pool,
        pgstore.MessageStore[Event](pool, store=used.name, messages=Event) as store,
    ):
        reset(store)
        assert store.stream_version("event-1") == 0


@pytest.mark.asyncio
async def test_async_store_is_awaited(used: FreshStore) -> None:
    async with pgstore.AsyncMessageStore[Event](
        used.conninfo, store=used.name, messages=Event
    ) as store:
        await reset(store)
        assert await store.stream_version("event-1") == 0


def test_transaction_that_somebody_left_open_is_not_waited_for_without_end(
    used: FreshStore, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sync_resetting._PATIENCE == async_resetting._PATIENCE == "10s"
    monkeypatch.setattr(sync_resetting, "_PATIENCE", "1ms")
    with opened(used) as store, connect(autocommit=False) as left:
        store.write("event-1", Event(1), conn=left)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reset(store)
    with opened(used) as store:
        assert store.stream_version("event-1") > 0


def test_only_a_store_can_be_reset() -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match="not 'shop'"):
        reset("shop")  # type: ignore[call-overload]
