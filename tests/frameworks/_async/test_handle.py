"""`pgstore.testing.handle` with a transaction of SQLAlchemy's."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from pgstore import AsyncMessageStore, InvalidArgumentError
from pgstore.testing import handle
from tests.frameworks._async.conftest import Orders
from tests.frameworks.engines import AsyncEngine, AsyncSession
from tests.frameworks.messages import Paid


async def test_a_handler_runs_in_the_transaction_of_a_session(
    store: AsyncMessageStore[Paid], engine: AsyncEngine, orders: Orders, stream: str
) -> None:
    subscription = store.subscription(f"on-{stream}")

    @subscription.handler
    async def paid(message: Paid, tx: psycopg.AsyncConnection[Any]) -> None:
        await tx.execute(str(orders.insert.compile(engine)), {"key": f"paid {message.amount}"})

    async with AsyncSession(engine) as session:
        assert await handle(subscription, Paid(1), conn=session) == 1
        await session.rollback()
    assert await orders.count() == 0
    async with engine.begin() as conn:
        assert await handle(subscription, Paid(1), Paid(2), conn=conn) == 2
        assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
    assert await orders.count() == 2


async def test_an_engine_is_refused_by_name(
    store: AsyncMessageStore[Paid], engine: AsyncEngine, stream: str
) -> None:
    subscription = store.subscription(f"on-{stream}")

    @subscription.handler
    async def paid(message: Paid, tx: psycopg.AsyncConnection[Any]) -> None: ...

    wrong: Any = engine
    with pytest.raises(InvalidArgumentError, match="engine has many connections"):
        await handle(subscription, Paid(1), conn=wrong)
