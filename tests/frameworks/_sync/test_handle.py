# Generated from tests/frameworks/_async/test_handle.py by `python tools/unasync.py`.

"""`pgstore.testing.handle` with a transaction of SQLAlchemy's."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from pgstore import InvalidArgumentError, MessageStore
from pgstore.testing import handle
from tests.frameworks._sync.conftest import Orders
from tests.frameworks.engines import Engine, Session
from tests.frameworks.messages import Paid


def test_a_handler_runs_in_the_transaction_of_a_session(
    store: MessageStore[Paid], engine: Engine, orders: Orders, stream: str
) -> None:
    subscription = store.subscription(f"on-{stream}")

    @subscription.handler
    def paid(message: Paid, tx: psycopg.Connection[Any]) -> None:
        tx.execute(str(orders.insert.compile(engine)), {"key": f"paid {message.amount}"})

    with Session(engine) as session:
        assert handle(subscription, Paid(1), conn=session) == 1
        session.rollback()
    assert orders.count() == 0
    with engine.begin() as conn:
        assert handle(subscription, Paid(1), Paid(2), conn=conn) == 2
        assert conn.execute(text("SELECT 1")).scalar_one() == 1
    assert orders.count() == 2


def test_an_engine_is_refused_by_name(
    store: MessageStore[Paid], engine: Engine, stream: str
) -> None:
    subscription = store.subscription(f"on-{stream}")

    @subscription.handler
    def paid(message: Paid, tx: psycopg.Connection[Any]) -> None: ...

    wrong: Any = engine
    with pytest.raises(InvalidArgumentError, match="engine has many connections"):
        handle(subscription, Paid(1), conn=wrong)
