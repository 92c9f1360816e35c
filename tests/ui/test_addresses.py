"""Whatever an address or a form says, the answer is a page that says what is wrong."""

import asyncio
import itertools

import httpx
import psycopg
import pytest
from starlette.datastructures import QueryParams

from pgstore import AsyncMessageStore, RawMessage, ui
from pgstore.ui.console import Console, Rights
from pgstore.ui.problems import problem_of
from pgstore.ui.views import VIEWS
from tests.ui.conftest import Opened, Raw, write

VALUES = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "x" * 2000,
    "1" * 5000,
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e3",
    "\u0661",
    "%",
    "\\",
    "{",
    "a:=" + "[" * 5000,
    "a:={",
    "=",
    "key=\x00",
    "0000-00-00",
    "9999-12-31T23:59:59",
    "0001-01-01T00:00+14:00",
    "01a22283-9ce6-7a9f-9bde-84835f278ab2",
    "<script>",
    "\U0010ffff",
    "\u202e",
]
NAMES = [
    *("stream", "prefix", "after", "from", "order", "version", "position", "id", "of", "category"),
    *("type", "metadata", "tag", "since", "until", "zone", "before", "correlation", "message", "q"),
    *("next", "subscription", "to", "partition"),
]


@pytest.mark.parametrize(
    "path", sorted({each.path for each in VIEWS if not each.action and "events" not in each.path})
)
async def test_no_address_makes_the_console_fail(
    client: httpx.AsyncClient, store: Raw, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, "account-1", "Opened", metadata={"correlation_id": "r"})
    asked: set[str] = set()
    get = QueryParams.get

    def noting(given: QueryParams, name: str, default: object = None) -> object:
        asked.add(name)
        return get(given, name, default)

    monkeypatch.setattr(QueryParams, "get", noting)

    async def try_out(name: str, value: str) -> None:
        page = await client.get(path, params={"stream": "account-1"} | {name: value})
        assert page.status_code < 500, (name, value[:40], page.text)

    for name, value in zip(NAMES, itertools.cycle(VALUES), strict=False):
        await try_out(name, value)
    # All values of those that the page looks at, also because of another one's value.
    tried: set[str] = set()
    while names := asked.intersection(NAMES) - tried:
        tried |= names
        for name, value in itertools.product(sorted(names), VALUES):
            await try_out(name, value)
    broken = await client.get(f"{path}?stream=%ED%A0%80%FF&id=%FF&&=&stream")
    assert broken.status_code < 500


@pytest.mark.parametrize("path", ["/", "/stream", "/streams"])
async def test_links_keep_what_the_address_says(
    client: httpx.AsyncClient, store: Raw, path: str
) -> None:
    await store.write_many("account-1", [RawMessage("Opened", b"{}")] * 60)
    for name in ("path", "self", "changes", "query", "request"):
        page = await client.get(path, params={"stream": "account-1", name: "x"})
        assert page.status_code == 200, name


@pytest.mark.parametrize(
    "path", ["/nowhere", "/message/x", "/static/nowhere", "/static/%2e%2e/console.py"]
)
async def test_unknown_address_is_a_page(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert page.status_code == 404
    assert "There is no such page" in page.text


async def test_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    page = await client.post("/streams", headers={"Origin": "http://localhost"})
    assert page.status_code == 405


async def test_form_that_is_too_large_is_refused(opened: Opened) -> None:
    client = opened(token="a token of the test, which is long")
    origin = {"Origin": "http://localhost"}
    page = await client.post("/login", content=b"x" * 100_000, headers=origin)
    assert page.status_code == 400


async def test_missing_store_is_a_page_that_says_how_to_install_it(conninfo: str) -> None:
    store = AsyncMessageStore[RawMessage](
        conninfo, store="nowhere", messages=RawMessage, create=False
    )
    async with store, _client(store) as client:
        page = await client.get("/")
    assert page.status_code == 503
    assert "pgstore install" in page.text


async def test_server_that_is_away_is_a_page_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pgstore.ui.application._PATIENCE", 0.2)
    store = AsyncMessageStore[RawMessage](
        "host=127.0.0.1 port=1", store="nowhere", messages=RawMessage
    )
    async with store, _client(store) as client:
        page = await asyncio.wait_for(client.get("/"), 20)
    assert page.status_code in (503, 504)
    assert "database" in page.text


@pytest.mark.parametrize("path", ["/", "/nowhere"])
async def test_page_waits_no_longer_for_the_rights_of_the_role(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def never(_: Console) -> Rights:
        return await asyncio.Future[Rights]()

    monkeypatch.setattr("pgstore.ui.application._PATIENCE", 0.1)
    monkeypatch.setattr(Console, "rights", never)
    page = await asyncio.wait_for(client.get(path), 20)
    assert page.status_code == (504 if path == "/" else 404)


def _client(store: AsyncMessageStore[RawMessage]) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(ui.app(store)), base_url="http://localhost"
    )


def test_fault_of_the_console_shows_nothing_of_it() -> None:
    problem = problem_of(KeyError("a secret of a payload"), "bank")
    assert problem.status == 500
    assert problem.unexpected
    assert "secret" not in problem.text + problem.title + problem.remedy


def test_error_of_the_database_has_its_code() -> None:
    problem = problem_of(psycopg.errors.UndefinedFunction("no such function"), "bank")
    assert problem.code == "42883"
