"""The statements of the Python package, which are planned outside of the store's functions.

The store is empty: statistics look at all that there is, and may cost much in a large store.
"""

import re
from collections.abc import Iterator
from itertools import count
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore
from pgstore._core import statements as known
from pgstore._core.quoting import Statements
from tests.plans.plans import JIT_ABOVE_COST


def statements(store: str) -> Iterator[tuple[str, str]]:
    """The statements by name, with parameters as PREPARE has them."""
    quoted = Statements(store)
    named = {
        name: quoted[text.replace("ORDERING", "stream")]  # a command fills it in
        for name, text in vars(known).items()
        if name.isupper() and name[0] != "_" and not text.startswith("COPY")
    }
    for name, text in named.items():
        numbers = count(1)
        places = re.sub(r"%s|%\(\w+\)s", lambda _: f"${next(numbers)}", text)  # noqa: B023 — used at once
        yield name, places.replace("%%", "%")


@pytest.fixture(scope="module")
def costs(server_conninfo: str) -> Iterator[dict[str, float]]:
    """What the planner thinks that each statement costs."""
    store = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=store)
    options = f"-c search_path={store} -c plan_cache_mode=force_generic_plan"
    with psycopg.connect(server_conninfo, autocommit=True, options=options) as conn:
        yield {name: cost(conn, text) for name, text in statements(store)}
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(store)))


def cost(conn: psycopg.Connection, text: str) -> float:
    conn.execute(f"PREPARE known AS {text}".encode())
    nulls = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", text))))
    execute = f"EXECUTE known({nulls})" if nulls else "EXECUTE known"
    row = conn.execute(f"EXPLAIN (FORMAT json) {execute}".encode()).fetchone()
    conn.execute("DEALLOCATE known")
    assert row is not None
    return float(row[0][0]["Plan"]["Total Cost"])


def test_no_statement_of_the_package_costs_enough_to_be_compiled(costs: dict[str, float]) -> None:
    assert len(costs) > 60
    assert {name: cost for name, cost in costs.items() if cost > JIT_ABOVE_COST / 2} == {}
