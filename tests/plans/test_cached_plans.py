"""Sessions that live long: plans made when the store was small are still good when it is not.

A session keeps its plans until the tables are analyzed again, which may come late or never.
"""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore
from tests.amounts import LONG, amount
from tests.plans.cases import CASES, wrong_plans
from tests.plans.filling import fill, seed
from tests.plans.plans import Explained

TOTAL = amount(40_000, 100_000)

Sessions = dict[str, Explained]


SIZES = [0, 1, 5, 60, 300] if LONG else [0, 1, 60]


@pytest.fixture(scope="module", params=SIZES, ids="{} messages".format)
def sessions(server_conninfo: str, request: pytest.FixtureRequest) -> Iterator[Sessions]:
    """Sessions that planned everything when the store had so many messages.

    At 0 it has never been analyzed. At 1 a scan of everything is cheaper than any look-up.

    `later` has planned nothing before the store grew.
    """
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with (
        psycopg.connect(server_conninfo, autocommit=True, options=f"-c search_path={name}") as conn,
        Explained(server_conninfo, name, "auto") as auto,
        Explained(server_conninfo, name, "force_generic_plan") as generic,
        Explained(server_conninfo, name, "auto") as later,
    ):
        for table in ("streams", "messages"):
            conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        if request.param > 0:
            seed(conn, request.param)
        plan_everything(auto, times=6)  # five plans for the values, then one for all
        plan_everything(generic, times=2)  # the first time it reads the catalog
        # The rows of writes that were rolled back are gone: now the statistics know an empty table.
        conn.execute("VACUUM (TRUNCATE off) message_tags")
        fill(conn, TOTAL)
        yield {"auto": auto, "generic": generic, "later": later}
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def plan_everything(session: Explained, *, times: int) -> None:
    """Run every call often enough to make generic plans of all its statements; store nothing."""
    for _ in range(times):
        for case in CASES.values():
            with session.conn.transaction(force_rollback=True):
                # Twice, since a write that is repeated goes another way.
                for _ in range(2):
                    session.run(case.statement.format(total=TOTAL))


@pytest.mark.parametrize("planned", ["auto", "generic", "later"])
def test_calls_in_a_store_that_has_grown_use_indexes(sessions: Sessions, planned: str) -> None:
    # Twice before: reads the catalog; a write that is repeated goes another way.
    assert wrong_plans(sessions[planned], TOTAL, before=2) == {}
