"""Streams by name, and a stream as a time line."""

import html
import re

import httpx

from tests.ui.conftest import Opened, Raw, write


def streams_in(page: httpx.Response) -> list[str]:
    found = re.findall(r'<a class="mono name" href="[^"]*">([^<]*)</a>', page.text)
    return [html.unescape(each) for each in found]


async def test_empty_store_says_what_to_do(client: httpx.AsyncClient) -> None:
    page = await client.get("/streams")
    assert page.status_code == 200
    assert "pgstore write account-1" in page.text


async def test_streams_of_the_last_messages_come_latest_first(
    client: httpx.AsyncClient, store: Raw
) -> None:
    for name in ("account-1", "account-2", "order-1", "account-1"):
        await write(store, name, "Opened")
    assert streams_in(await client.get("/streams")) == ["account-1", "order-1", "account-2"]


async def test_streams_are_found_by_the_beginning_of_their_names(
    client: httpx.AsyncClient, store: Raw
) -> None:
    for name in ("account-1", "account-2", "accounting", "Account-1", "order-1", "a%_-1"):
        await write(store, name, "Opened")
    assert streams_in(await client.get("/streams", params={"prefix": "account-"})) == [
        "account-1",
        "account-2",
    ]
    assert streams_in(await client.get("/streams", params={"prefix": "a%"})) == ["a%_-1"]
    nothing = await client.get("/streams", params={"prefix": "z"})
    assert "No stream has such a name" in nothing.text


async def test_pages_of_streams_leave_none_out(client: httpx.AsyncClient, store: Raw) -> None:
    names = sorted(f"s-{number}" for number in range(120))
    for name in names:
        await write(store, name, "Opened")
    found, path = [], "/streams?order=name"
    while path:
        page = await client.get(path)
        found += streams_in(page)
        link = re.search(r'rel="next" href="([^"]*)"', page.text)
        path = html.unescape(link[1]) if link else ""
    assert found == names


def versions_in(page: httpx.Response) -> list[int]:
    return [int(each) for each in re.findall(r'class="main-link">(\d+)<', page.text)]


async def test_stream_is_shown_from_its_end_or_its_beginning(
    client: httpx.AsyncClient, store: Raw
) -> None:
    for number in range(1, 121):
        await write(store, "account-1", "Deposited", f'{{"amount": {number}}}')
    newest = await client.get("/stream", params={"stream": "account-1"})
    assert versions_in(newest) == list(range(120, 70, -1))
    link = re.search(r'rel="next" href="([^"]*)"', newest.text)
    assert link is not None
    older = await client.get(html.unescape(link[1]))
    assert versions_in(older) == list(range(70, 20, -1))
    link = re.search(r'rel="prev" href="([^"]*)"', older.text)
    assert link is not None
    assert versions_in(await client.get(html.unescape(link[1]))) == list(range(120, 70, -1))
    oldest = await client.get("/stream", params={"stream": "account-1", "order": "oldest"})
    assert versions_in(oldest) == list(range(1, 51))


async def test_unknown_stream_is_a_page_that_says_so(opened: Opened) -> None:
    page = await opened().get("/stream", params={"stream": "account-9"})
    assert page.status_code == 404
    assert "There is no such stream" in page.text


async def test_number_that_is_none_is_refused(client: httpx.AsyncClient, store: Raw) -> None:
    await write(store, "account-1", "Opened")
    for wrong in ("-1", "x", "9223372036854775808", "1" * 200, "\u0661"):
        page = await client.get("/stream", params={"stream": "account-1", "from": wrong})
        assert page.status_code == 400, wrong
