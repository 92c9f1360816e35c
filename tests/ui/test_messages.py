"""Search, and a message with all that it has."""

import html
import re
from uuid import uuid4

import httpx
import pytest

from pgstore import RawMessage
from tests.ui.conftest import Opened, Raw, write


def positions_in(page: httpx.Response) -> list[int]:
    found = re.findall(r'class="main-link">([\d,]+)<', page.text)
    return [int(each.replace(",", "")) for each in found]


@pytest.fixture
async def filled(store: Raw) -> Raw:
    """Eight messages of two categories, at positions 1 to 8."""
    for number in range(1, 4):
        await write(store, f"account-{number}", "Opened", metadata={"user": "ada", "n": number})
        await write(store, f"account-{number}", "Deposited", f'{{"amount": {number}}}')
    await write(store, "order-1", "Opened", tags=["red"], metadata={"user": "bob", "n": "1"})
    await write(store, "order_1", "Opened")
    return store


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1]),
        ({"category": "account"}, [6, 5, 4, 3, 2, 1]),
        ({"stream": "account-2"}, [4, 3]),
        ({"stream": "order_"}, [8]),
        ({"stream": "ord"}, [8, 7]),
        ({"type": "Opened"}, [8, 7, 5, 3, 1]),
        ({"type": "Deposited, Other"}, [6, 4, 2]),
        ({"metadata": "user=ada"}, [5, 3, 1]),
        ({"metadata": "n=1"}, [7]),
        ({"metadata": "n:=1"}, [1]),
        ({"metadata": "user=ada", "before": "5"}, [3, 1]),
        ({"tag": "red"}, [7]),
        ({"category": "account", "type": "Opened", "metadata": "user=ada"}, [5, 3, 1]),
        ({"category": "accoun"}, []),
    ],
    ids=str,
)
async def test_search_finds_the_newest_first(
    client: httpx.AsyncClient, filled: Raw, query: dict[str, str], positions: list[int]
) -> None:
    assert positions_in(await client.get("/", params=query)) == positions


async def test_search_by_time_is_in_the_zone_of_the_viewer(
    client: httpx.AsyncClient, filled: Raw
) -> None:
    fourth = [stored async for stored in filled.read("account-2")][-1]
    exact = fourth.added_at.isoformat()
    assert positions_in(await client.get("/", params={"since": exact})) == [8, 7, 6, 5, 4]
    assert positions_in(await client.get("/", params={"until": exact})) == [3, 2, 1]
    local = fourth.added_at.replace(tzinfo=None)
    for minutes, found in ((0, [8, 7, 6, 5, 4]), (60, [8, 7, 6, 5, 4, 3, 2, 1]), (-60, [])):
        query = {"since": local.isoformat(), "zone": str(minutes)}
        assert positions_in(await client.get("/", params=query)) == found, minutes


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"since": "9999-12-31T23:59", "zone": "-999999999999"},
        {"metadata": "user"},
        {"metadata": "n:={"},
        {"before": "x"},
    ],
    ids=str,
)
async def test_wrong_filter_is_refused_with_the_reason(
    client: httpx.AsyncClient, filled: Raw, query: dict[str, str]
) -> None:
    page = await client.get("/", params=query)
    assert page.status_code == 400
    assert "This value does not fit" in page.text


async def test_search_by_correlation_id_leads_to_the_trace(client: httpx.AsyncClient) -> None:
    page = await client.get("/", params={"correlation": "request-7"})
    assert page.headers["location"] == "/trace?correlation=request-7"


async def test_search_continues_until_the_beginning(client: httpx.AsyncClient, store: Raw) -> None:
    for number in range(130):
        await write(store, f"account-{number % 3}", "Deposited")
    found, path = [], "/?category=account"
    for _ in range(10):
        page = await client.get(path, headers={"HX-Request": "true"})
        found += positions_in(page)
        link = re.search(r'rel="next" href="([^"]*)"', page.text)
        if link is None:
            break
        path = html.unescape(link[1])
    assert found == list(range(130, 0, -1))
    assert "Searched to the beginning" in page.text


async def test_search_says_how_far_it_has_looked(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, "rare-1", "Rare")
    for _ in range(5):
        await store.write_many("account-1", [RawMessage("Deposited", b"{}")] * 100)
    monkeypatch.setattr("pgstore.ui.searching._TIME", 0.0)  # one window
    page = await client.get("/", params={"type": "Rare"})
    assert "Searched to position 302" in page.text
    assert positions_in(page) == []
    monkeypatch.undo()
    link = re.search(r'rel="next" href="([^"]*)"', page.text)
    assert link is not None
    assert positions_in(await client.get(html.unescape(link[1]))) == [1]


async def test_message_is_shown_with_its_neighbours(client: httpx.AsyncClient, store: Raw) -> None:
    for amount in (1, 2, 3):
        await write(store, "account-1", "Deposited", f'{{"amount": {amount}, "by": ["a"]}}')
    page = await client.get("/message", params={"stream": "account-1", "version": "2"})
    assert re.search(r'rel="prev" href="/message\?stream=account-1&amp;version=1"', page.text)
    assert re.search(r'rel="next" href="/message\?stream=account-1&amp;version=3"', page.text)
    assert "<del>1</del>" in page.text
    assert "<ins>2</ins>" in page.text


async def test_message_is_found_by_everything_that_names_it(
    client: httpx.AsyncClient, store: Raw
) -> None:
    await write(store, "account-1", "Opened")
    (stored,) = [each async for each in store.read("account-1")]
    for given, path in (
        (str(stored.message_id), f"/message?id={stored.message_id}"),
        ("1", "/message?position=1"),
        ("account-1", "/stream?stream=account-1"),
        ("acc", "/streams?prefix=acc"),
    ):
        answer = await client.get("/go", params={"q": given})
        assert answer.headers["location"] == path
        assert (await client.get(path)).status_code == 200


async def test_missing_message_is_a_page_that_says_so(
    client: httpx.AsyncClient, store: Raw
) -> None:
    for query in ({"id": str(uuid4())}, {"position": "9"}, {"stream": "a", "version": "1"}):
        page = await client.get("/message", params=query)
        assert page.status_code == 404
    assert (await client.get("/message", params={"id": "x"})).status_code == 400


async def test_raw_payload_is_as_it_is_stored(client: httpx.AsyncClient, store: Raw) -> None:
    data = '{"n": 12345678901234567890.10, "text": "<script>alert(1)</script>"}'
    await write(store, "account-1", "Opened", data, metadata={"user": "ada"})
    raw = await client.get("/message/raw", params={"position": "1"})
    assert raw.text == data
    assert raw.headers["content-type"] == "application/json"
    assert raw.headers["x-content-type-options"] == "nosniff"
    metadata = await client.get("/message/raw", params={"position": "1", "of": "metadata"})
    assert metadata.json() == {"user": "ada"}
    page = await client.get("/message", params={"position": "1"})
    assert "12345678901234567890.10" in page.text


async def test_differences_of_a_long_name_are_cut(client: httpx.AsyncClient, store: Raw) -> None:
    name = "k" * 100_000
    for value in (1, 2):
        inside = ",".join(f'"c{number}": {value}' for number in range(300))
        await write(store, "account-1", "Opened", f'{{"{name}": {{{inside}}}}}')
    page = await client.get("/message", params={"position": "2"})
    assert "kkk.c199" in page.text
    assert len(page.text) < 300_000


async def test_large_payload_is_cut_and_says_so(opened: Opened, store: Raw) -> None:
    many = ",".join(f'"{number}"' for number in range(5000))
    await write(store, "account-1", "Opened", f'{{"many": [{many}], "long": "{"x" * 9000}"}}')
    page = await opened().get("/message", params={"position": "1"})
    assert "more, in the raw form" in page.text
    assert "5,000 more characters" in page.text
    assert len(page.text) < 300_000
