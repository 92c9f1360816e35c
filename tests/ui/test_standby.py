"""A console on a standby looks, says what it cannot know there, and changes nothing."""

from collections.abc import AsyncIterator, Iterator

import httpx
import psycopg
import pytest

import pgstore
from pgstore import AsyncMessageStore, MessageStore, RawMessage, ui
from pgstore.embedded import Server
from tests.standbys import pair, until
from tests.ui.steering import post, text_of

ONE = {"subscription": "balances"}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """A primary with a store and a subscription, and a standby that has them."""
    with pair() as (primary, standby):
        pgstore.install(primary.conninfo, store="bank")
        with MessageStore(primary.conninfo, store="bank", messages=RawMessage) as store:
            store.subscription("balances", partitions=2).create()
            for number in range(5):
                store.raw.write(f"account-{number}", RawMessage("Opened", b"{}"))
        with psycopg.connect(standby.conninfo, autocommit=True) as conn:
            until(lambda: _messages(conn) == 5)
        yield primary, standby


def _messages(conn: psycopg.Connection[tuple[int]]) -> int:
    try:
        rows = conn.execute("SELECT count(*) FROM bank.all_messages").fetchall()
    except psycopg.errors.UndefinedTable:
        return 0
    return rows[0][0]


@pytest.fixture
async def client(servers: tuple[Server, Server]) -> AsyncIterator[httpx.AsyncClient]:
    async with AsyncMessageStore(
        servers[1].conninfo, store="bank", messages=RawMessage, create=False
    ) as store:
        transport = httpx.ASGITransport(ui.app(store))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def test_pages_say_that_the_horizon_is_not_known_until_it_is_published(
    client: httpx.AsyncClient, servers: tuple[Server, Server]
) -> None:
    for path in ("/subscriptions", "/subscription", "/store"):
        page = await client.get(path, params=ONE)
        assert page.status_code == 200, path
        assert "no horizon was published" in text_of(page), path
    for path in ("/store/contents", "/store/retention", "/store/audit", "/store/checks"):
        assert (await client.get(path)).status_code == 200, path
    rewind = await client.get("/subscription/rewind", params=ONE)
    assert rewind.status_code == 503
    assert "MS005" in rewind.text

    primary, standby = servers
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        conn.execute("SELECT bank.publish_horizon('test')")
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        until(lambda: conn.execute("SELECT bank.horizon_age()").fetchone() != (None,))
    text = text_of(await client.get("/subscriptions"))
    assert "This is a standby: the primary has published the horizon" in text


async def test_actions_are_refused(client: httpx.AsyncClient) -> None:
    refused = await post(client, "/subscription/pause", **ONE)
    assert refused.status_code >= 400
    assert "read-only" in text_of(refused)
