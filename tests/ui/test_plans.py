"""The console's statements find their rows by an index, and read few of them."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore
from pgstore._core.quoting import Statements
from pgstore.ui import queries
from tests.plans.filling import fill
from tests.plans.plans import Explained

TOTAL = 40_000

# Of each statement its parameters, and the rows that it may look at.
CALLS: dict[str, tuple[list[object], int]] = {
    "STREAMS": (["small-9", "", "small-9", "small-9", 50], 320),
    "STREAM": (["big-1"], 10),
    "RECENT_STREAMS": ([], 4000),
    "STREAM_PAGE": (["big-1", None, 51, "true"], 120),
    "WINDOW": ([None, 39_000, 1001, None, None, None, 40_000, 1000, None], 4500),
    "HORIZON": ([], 10),
    "POSITION_BEFORE": (["2020-01-01T00:00Z", "2020-01-01T00:00Z"], 300),
    "BY_ID": ([str(uuid4())], 10),
    "BY_VERSION": (["big-1", 7, 7], 10),
    "BY_POSITION": ([7], 10),
    "PREVIOUS_OF_TYPE": (["big-1", "T1", 2000, 1000], 1010),
    "CORRELATED": (["c7", 0, 501], 60),
    "BY_IDS": (["{}"], 10),
}
# It asks the catalog alone.
OTHERS = {"RIGHTS"}


@pytest.fixture(scope="module")
def filled(server_conninfo: str) -> Iterator[str]:
    """A store with messages that the planner has counted."""
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(name)))
        fill(conn, TOTAL)
        conn.execute("ANALYZE streams, messages, message_tags")
        yield name
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", CALLS)
def test_statement_finds_its_rows_by_an_index(
    server_conninfo: str, filled: str, name: str, mode: str
) -> None:
    parameters, most = CALLS[name]
    text = Statements(filled)[getattr(queries, name)].replace("%%", "%")
    for number in range(text.count("%s")):
        text = text.replace("%s", f"${number + 1}", 1)
    given = ", ".join(sql.Literal(each and str(each)).as_string() for each in parameters)
    with Explained(server_conninfo, filled, mode) as explained:
        explained.conn.execute(f"PREPARE asked AS {text}".encode())
        explained.rows(f"EXECUTE asked({given})" if given else "EXECUTE asked")
        plans = explained.plans
    assert plans
    told = "\n\n".join(map(str, plans))
    assert sum(plan.rows for plan in plans) <= most, told
    for plan in plans:
        assert not plan.compiled, told
        for node in plan.walks:
            # In the order of its index from an end, for some rows.
            assert node["Node Type"] in ("Index Scan", "Index Only Scan"), told


def test_every_statement_of_the_console_is_looked_at() -> None:
    known = {name for name in vars(queries) if name.isupper() and not name.startswith("_")}
    assert known == CALLS.keys() | OTHERS
