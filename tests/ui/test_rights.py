"""The console acts with the rights of its role, and shows what they allow."""

from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgstore import AsyncMessageStore, RawMessage, ui
from tests.ui.conftest import Raw, write


@pytest.fixture
async def as_role(conninfo: str, store: Raw) -> AsyncIterator["AsRole"]:
    async with AsRole(conninfo, store) as made:
        yield made


class AsRole:
    """Makes consoles that connect as a role with some kinds of rights."""

    def __init__(self, conninfo: str, store: Raw) -> None:
        self._conninfo = conninfo
        self._store = store
        self._role = f"ui_{store.name}"
        self._opened: list[httpx.AsyncClient | AsyncMessageStore[RawMessage]] = []

    def admin(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    async def client(self, *kinds: str) -> httpx.AsyncClient:
        for kind in kinds:
            self.admin(f"SELECT {{}}.grant_access('{self._role}', '{kind}')", self._store.name)
        store = AsyncMessageStore[RawMessage](
            make_conninfo(self._conninfo, user=self._role),
            store=self._store.name,
            messages=RawMessage,
            create=False,
        )
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(ui.app(store)), base_url="http://localhost"
        )
        self._opened += [client, store]
        return client

    async def __aenter__(self) -> "AsRole":
        self.admin("CREATE ROLE {} LOGIN", self._role)
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._opened:
            await each.aclose()
        for kind in ("read", "write", "consume", "monitor", "admin"):
            self.admin(f"SELECT {{}}.revoke_access('{self._role}', '{kind}')", self._store.name)
        self.admin("DROP OWNED BY {}; DROP ROLE {}", self._role, self._role)


async def test_role_that_reads_sees_messages(as_role: AsRole, store: Raw) -> None:
    await write(store, "account-1", "Opened", metadata={"correlation_id": "r"})
    client = await as_role.client("read")
    for path in ("/", "/streams", "/live", "/trace?correlation=r", "/message?position=1"):
        page = await client.get(path)
        assert page.status_code == 200, path
    for section in ("Messages", "Streams", "Live", "Trace"):
        assert f">{section}</a>" in page.text
    assert f"ui_{store.name}"[:20] in page.text


async def test_role_that_monitors_sees_no_message(as_role: AsRole, store: Raw) -> None:
    await write(store, "account-1", "Opened", '{"secret": 1}')
    client = await as_role.client("monitor")
    for path in (
        "/",
        "/message?position=1",
        "/live",
        "/trace",
        "/go?q=account-1",
        "/message/raw?position=1",
    ):
        page = await client.get(path)
        assert page.status_code == 403, path
        assert "secret" not in page.text
        assert "may not use" in page.text
        assert ">Live</a>" not in page.text


async def test_role_without_rights_is_shown_nothing(as_role: AsRole, store: Raw) -> None:
    await write(store, "account-1", "Opened")
    client = await as_role.client()
    page = await client.get("/")
    assert page.status_code in (403, 503)
    assert "account" not in page.text


async def test_rights_that_were_taken_are_missed_by_the_database(
    as_role: AsRole, store: Raw
) -> None:
    """The console remembers rights for some seconds; the database does not."""
    await write(store, "account-1", "Opened")
    client = await as_role.client("read")
    assert (await client.get("/message?position=1")).status_code == 200
    as_role.admin("REVOKE SELECT ON {}.all_messages FROM {}", store.name, f"ui_{store.name}")
    page = await client.get("/message?position=1")
    assert page.status_code == 403
    assert "42501" in page.text
