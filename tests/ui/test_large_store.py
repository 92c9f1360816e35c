"""The pages of operators read a bounded part of a store, however large it is."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

import pgstore
from pgstore import AsyncMessageStore, RawMessage, ui
from pgstore._core import statements
from pgstore._core.parameters import array
from pgstore._core.quoting import Statements
from pgstore.ui import operations
from pgstore.ui.counting import _ALL, _FIRST
from pgstore.ui.storing import AT_EACH, PLACES
from tests.amounts import amount
from tests.plans.filling import fill
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

_TOUCHED = """
SELECT coalesce(sum(t.seq_tup_read), 0)::bigint, coalesce(sum(t.idx_tup_fetch), 0)::bigint
FROM pg_stat_xact_all_tables AS t
WHERE t.schemaname = current_schema() AND t.relname IN ('messages', 'streams')
"""


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


@pytest.fixture
def conn(server_conninfo: str, name: str) -> Iterator[psycopg.Connection[TupleRow]]:
    with psycopg.connect(server_conninfo, options=f"-c search_path={name}") as made:
        yield made


def _to_come(subscription: str) -> tuple[str, tuple[object, ...]]:
    filters = {"rare": (None, "{rare}"), "typed": ("{T1}", None)}.get(subscription, (None, None))
    tags = "{often}" if subscription == "tagged" else None
    places = [array(["0", "1"]), array(["0", "0"]), array([str(_ALL // 2)] * 2)]
    return operations.TO_COME, (None, *filters, None, 2, 2, 2, "stream", tags, *places)


CALLS: dict[str, tuple[str, tuple[object, ...]]] = {
    "places": (operations.PLACES, (10_000,)),
    "overview": (operations.overview(reads=True, monitors=True), (200,)),
    "partitions": (operations.PARTITIONS, ("everything", 10_000)),
    "horizon": (operations.HORIZON, ()),
    "writers": (operations.WRITERS, (20,)),
    "statistics": (operations.STATISTICS, ()),
    "tables": (operations.TABLES, ("public",)),
    "sample": (operations.SAMPLE, (PLACES, PLACES, AT_EACH, 25)),
    "streams": (operations.STREAMS_OF, ("{big-1,medium-2,small-7}",)),
    "retention": (operations.RETENTION, ()),
    "audit": (operations.AUDIT, (50, None)),
    "health": (statements.HEALTH, ()),
    "count": (
        operations.MATCHING,
        (None, 0, _FIRST + 1, None, None, None, _FIRST, _FIRST, None),
    ),
    **{f"to come, {each}": _to_come(each) for each in NAMES},
}


@pytest.mark.parametrize("call", CALLS)
def test_statements_of_the_pages_count_no_table(
    conn: psycopg.Connection[TupleRow], name: str, call: str
) -> None:
    statement, parameters = CALLS[call]
    conn.execute(
        Statements(name)[statement].encode(),
        [each if each is None else str(each) for each in parameters],
    )
    ((walked, fetched),) = conn.execute(_TOUCHED).fetchall()
    assert walked == 0
    # A message and its stream.
    assert fetched <= 2 * max(PLACES * AT_EACH, _ALL) + 500


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
    client: httpx.AsyncClient, conn: psycopg.Connection[TupleRow], name: str
) -> None:
    rewound = f"SELECT {name}.rewind_subscription('everything', {TOTAL})"
    conn.execute(rewound.encode())
    conn.commit()
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
