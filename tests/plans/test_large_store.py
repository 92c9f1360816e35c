"""A store of many messages: every statement finds its rows by an index."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore
from tests.amounts import amount
from tests.plans.cases import wrong_plans
from tests.plans.filling import fill
from tests.plans.plans import Explained

TOTAL = amount(100_000, 1_000_000)


@pytest.fixture(scope="module")
def store(server_conninfo: str) -> Iterator[str]:
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with psycopg.connect(
        server_conninfo, autocommit=True, options=f"-c search_path={name}"
    ) as conn:
        fill(conn, TOTAL)
        conn.execute("ANALYZE streams, messages")
        yield name
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


# auto: the server's choice after a few calls; the others are what it may choose.
@pytest.fixture(scope="module", params=["auto", "force_generic_plan", "force_custom_plan"])
def session(
    server_conninfo: str, store: str, request: pytest.FixtureRequest
) -> Iterator[Explained]:
    with Explained(server_conninfo, store, request.param) as session:
        yield session


def test_calls_on_a_large_store_use_indexes(session: Explained) -> None:
    assert wrong_plans(session, TOTAL, before=7) == {}
