"""Installing a store by an engine, and what a store is not installed by."""

from io import BytesIO
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from sqlalchemy import event
from sqlalchemy.orm import Session

import pgstore
from pgstore import InvalidArgumentError, MessageStore, transfer
from tests.frameworks.django_settings import django_on
from tests.frameworks.engines import async_engine_of, checked_out, engine_of, url_of
from tests.frameworks.messages import Paid


def test_an_engine_installs_on_a_connection_of_its_own(conninfo: str, schema: str) -> None:
    engine = engine_of(conninfo, pool_size=1, max_overflow=0, pool_timeout=0.1)
    made: list[object] = []
    event.listen(engine.pool, "connect", lambda conn, _: made.append(conn))
    with engine.connect():
        version = pgstore.install(engine, store=schema)
    assert (len(made), checked_out(engine)) == (2, 0)
    assert version == pgstore.install(conninfo, store=schema)
    with MessageStore[Paid](engine, store=schema, messages=Paid, create=False) as store:
        assert store.write("order-1", Paid(1)).version == 1
    engine.dispose()


def test_djangos_connection_installs_on_one_of_its_own(conninfo: str, schema: str) -> None:
    with django_on(conninfo):
        from django.db import connection, transaction

        with transaction.atomic():
            version = pgstore.install(connection, store=schema)
            transaction.set_rollback(True)
    assert version == pgstore.install(conninfo, store=schema)


def test_what_is_no_address_is_refused_with_what_to_pass(conninfo: str, schema: str) -> None:
    engine, async_engine = engine_of(conninfo), async_engine_of(conninfo)

    def refusal(source: Any) -> str:
        with pytest.raises(InvalidArgumentError) as refused:
            pgstore.install(source, store=schema)
        return str(refused.value)

    assert "pass its .url" in refusal(async_engine)
    assert pgstore.install(async_engine.url, store=schema) > 0
    with engine.connect() as conn, Session(engine) as session, psycopg.connect(conninfo) as raw:
        for each in (conn, session, raw):
            assert "pgstore sql --no-transaction" in refusal(each)
    assert "pass its .conninfo" in refusal(ConnectionPool(conninfo, open=False))
    assert "psycopg2" in refusal(url_of(conninfo, "psycopg2"))
    engine.dispose()


def test_an_export_says_which_connection_it_takes(conninfo: str, shared: str) -> None:
    engine = engine_of(conninfo)
    with engine.connect() as conn:
        wrong: Any = conn
        with pytest.raises(InvalidArgumentError, match="autocommit=True"):
            transfer.verify(wrong, store=shared)
        with pytest.raises(InvalidArgumentError, match="autocommit=True"):
            transfer.export(wrong, BytesIO(), store=shared)
    engine.dispose()
