"""The pages of operators read a bounded part of a store, however large it is."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql

import pgstore
from pgstore import AsyncMessageStore, RawMessage, ui
from pgstore._core.parameters import array
from pgstore._core.quoting import Statements
from pgstore.ui import operations
from pgstore.ui.counting import _ALL, _FIRST
from pgstore.ui.operations import AT_EACH, PLACES_OF_SAMPLE
from tests.amounts import amount
from tests.plans.filling import fill
from tests.plans.plans import Explained
from tests.ui.steering import text_of

TOTAL = amount(60_000, 1_000_000)

# Subscriptions that are far behind, by how they filter; a partition of one has failed.
SUBSCRIBED = """
SELECT create_subscription('everything', partitions => 16);
SELECT create_subscription('rare', categories => '{rare}', partitions => 4);
SELECT create_subscription('typed', types => '{T1}', on_failure => 'park');
SELECT create_subscription('tagged', tags => '{often}', partitions => 2);
"""
NAMES = ("everything", "rare", "typed", "tagged")


@pytest.fixture(scope="module")
def name(server_conninfo: str) -> Iterator[str]:
    made = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=made)
    with psycopg.connect(
        server_conninfo, autocommit=True, options=f"-c search_path={made}"
    ) as conn:
        fill(conn, TOTAL)
        conn.execute("ANALYZE streams, messages")
        conn.execute(SUBSCRIBED)
        yield made
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(made)))


def _to_come(subscription: str) -> list[object]:
    filters = {"rare": (None, "{rare}"), "typed": ("{T1}", None)}.get(subscription, (None, None))
    tags = "{often}" if subscription == "tagged" else None
    places = [array(["0", "1"]), array(["0", "0"]), array([str(_ALL // 2)] * 2)]
    return [None, *filters, None, 2, 2, 2, "stream", tags, *places]


# Rows of the catalog: it has some hundred tables.
CATALOG = 2000

# Of each call its statement, its parameters, and the messages and streams that it may look at.
CALLS: dict[str, tuple[str, list[object], int]] = {
    "places": (operations.PLACES, [10_000], 100),
    "places alone": (operations.PLACES_ALONE, [10_000], 10),
    "overview": (operations.overview(reads=True, monitors=True), [200], 100),
    "partitions": (operations.PARTITIONS, ["everything", 10_000], 100),
    "extent": (operations.EXTENT, ["everything"], 10),
    "parked": (operations.PARKED, ["typed", 0, None, None, 51], 10),
    "parked until": (operations.PARKED_UNTIL, ["typed"], 10),
    "horizon": (operations.HORIZON, [], 10),
    "writers": (operations.WRITERS, [20], 10),
    "time": (operations.PLACE_OF_TIME, ["2020-01-01T00:00Z"], 300),
    "statistics": (operations.STATISTICS, [], CATALOG),
    "tables": (operations.TABLES, ["public"], CATALOG),
    "sample": (operations.SAMPLE, [], 4 * PLACES_OF_SAMPLE * AT_EACH),
    "streams": (operations.STREAMS_OF, ["{big-1,medium-2,small-7}"], 20),
    "retention": (operations.RETENTION, [], 10),
    "audit": (operations.AUDIT, [50, None], 10),
    "count": (
        operations.MATCHING,
        [None, 0, _FIRST + 1, None, None, None, _FIRST, _FIRST, None],
        4 * _FIRST,
    ),
    **{
        f"to come, {each}": (operations.TO_COME, _to_come(each), 3 * _ALL)
        for each in ("everything", "rare", "typed", "tagged")
    },
}
LARGE = {"messages", "streams", "message_tags"}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("call", CALLS)
def test_statements_of_the_pages_read_a_bounded_part(
    server_conninfo: str, name: str, call: str, mode: str
) -> None:
    statement, parameters, most = CALLS[call]
    text = Statements(name)[statement].replace("%%", "%")
    for number in range(text.count("%s")):
        text = text.replace("%s", f"${number + 1}", 1)
    given = ", ".join(
        sql.Literal(None if each is None else str(each)).as_string() for each in parameters
    )
    with Explained(server_conninfo, name, mode) as explained:
        explained.conn.execute(f"PREPARE asked AS {text}".encode())
        explained.rows(f"EXECUTE asked({given})" if given else "EXECUTE asked")
        plans = explained.plans
    assert plans
    told = "\n\n".join(map(str, plans))
    assert sum(plan.rows for plan in plans) <= most + 200, told  # the rest is of other tables
    assert not any(plan.compiled for plan in plans), told
    for walk in (walk for plan in plans for walk in plan.walks):
        # In the order of its index from an end, for some rows.
        in_order = walk["Node Type"] in ("Index Scan", "Index Only Scan")
        assert walk.get("Relation Name") not in LARGE or in_order, told


@pytest.fixture
async def client(server_conninfo: str, name: str) -> AsyncIterator[httpx.AsyncClient]:
    async with AsyncMessageStore(server_conninfo, store=name, messages=RawMessage) as store:
        application = ui.app(store)
        transport = httpx.ASGITransport(application)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            application.router.lifespan_context(application),
        ):
            yield client


async def test_preview_of_a_large_rewind_ends_and_says_how_far_it_came(
    client: httpx.AsyncClient, server_conninfo: str, name: str
) -> None:
    async with await psycopg.AsyncConnection.connect(server_conninfo, autocommit=True) as conn:
        await conn.execute(f"SELECT {name}.rewind_subscription('everything', {TOTAL})".encode())
    asked = {"subscription": "everything", "to": "0"}
    text = text_of(await client.get("/subscription/rewind", params=asked))
    assert "at least" in text
    assert "counted up to position" in text
    assert "counted up to position " + f"{TOTAL:,}" not in text


@pytest.mark.parametrize(
    "path",
    [
        *("/subscriptions", "/store", "/store/contents", "/store/retention", "/store/audit"),
        "/store/checks",
        *(f"/subscription?subscription={each}" for each in NAMES),
        "/subscription/parked?subscription=typed",
    ],
)
async def test_pages_of_a_large_store(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert page.status_code == 200
    assert text_of(page)
