"""Who comes in: names of hosts, tokens, other sites, headers."""

import re
from urllib.parse import quote

import httpx
import pytest

import pgstore
from pgstore import ui
from tests.ui.conftest import Opened, Raw, write

TOKEN = "a token of the test, which is long"


def form_token(page: httpx.Response) -> str:
    found = re.search(r'name="form_token" value="(\w+)"', page.text)
    assert found is not None
    return found[1]


async def test_every_answer_has_the_policy(opened: Opened) -> None:
    for path in ("/streams", "/nowhere", "/static/console.css", "/static/nowhere"):
        headers = (await opened(hosts=["localhost"]).get(path)).headers
        policy = dict(
            each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"


async def test_host_of_another_name_is_refused(opened: Opened) -> None:
    client = opened(hosts=["localhost", "127.0.0.1"])
    assert (await client.get("/streams")).status_code == 200
    refused = await client.get("/streams", headers={"Host": "evil.example:7654"})
    assert refused.status_code == 421
    assert (await client.get("/streams", headers={"Host": "LOCALHOST:1"})).status_code == 200


async def test_without_the_token_nothing_is_shown(opened: Opened, store: Raw) -> None:
    await write(store, "secret-1", "Opened")
    client = opened(token=TOKEN)
    sent_away = await client.get("/streams?prefix=s")
    assert sent_away.status_code == 303
    assert sent_away.headers["location"] == "/login?next=%2Fstreams%3Fprefix%3Ds"
    as_program = await client.get("/streams", headers={"Accept": "application/json"})
    assert as_program.status_code == 401
    assert "secret" not in as_program.text
    for wrong in ("", "another", TOKEN + "x"):
        headers = {"Authorization": f"Bearer {wrong}", "Accept": "*/*"}
        assert (await client.get("/streams", headers=headers)).status_code == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert "secret-1" in (await client.get("/streams", headers=headers)).text


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/loginx"), ("GET", "/login/x"), ("DELETE", "/login"), ("GET", "/static/x")],
)
async def test_errors_tell_nothing_of_the_store_without_the_token(
    opened: Opened, store: Raw, method: str, path: str
) -> None:
    headers = {"Origin": "http://localhost"}
    page = await opened(token=TOKEN).request(method, path, headers=headers)
    assert store.name not in page.text
    assert "Streams" not in page.text
    known = {"Authorization": f"Bearer {TOKEN}"}
    page = await opened(token=TOKEN).request("GET", "/nowhere", headers=known)
    assert store.name in page.text


async def test_browser_that_knows_the_token_gets_a_cookie(opened: Opened, store: Raw) -> None:
    await write(store, "secret-1", "Opened")
    client = opened(token=TOKEN)
    form = {"form_token": form_token(await client.get("/login")), "next": "/streams?prefix=s"}
    origin = {"Origin": "http://localhost"}
    wrong = await client.post("/login", data=form | {"token": "another"}, headers=origin)
    assert wrong.status_code == 403
    assert (await client.get("/streams")).status_code == 303
    right = await client.post("/login", data=form | {"token": TOKEN}, headers=origin)
    assert right.headers["location"] == "/streams?prefix=s"
    (cookie,) = [each for each in right.headers.get_list("set-cookie") if "pass" in each]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert TOKEN not in cookie
    assert "secret-1" in (await client.get("/streams")).text


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/\\evil.example"])
async def test_login_leads_to_no_other_site(opened: Opened, next: str) -> None:
    client = opened(token=TOKEN)
    form = {"form_token": form_token(await client.get("/login")), "next": next, "token": TOKEN}
    done = await client.post("/login", data=form, headers={"Origin": "http://localhost"})
    assert done.headers["location"] == "/"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {},
    ],
    ids=str,
)
async def test_form_of_another_site_is_refused(opened: Opened, headers: dict[str, str]) -> None:
    client = opened(token=TOKEN)
    form = {"form_token": form_token(await client.get("/login")), "token": TOKEN}
    refused = await client.post("/login", data=form, headers=headers)
    assert refused.status_code == 403
    assert "location" not in refused.headers


async def test_form_of_another_session_is_refused(opened: Opened) -> None:
    client, other = opened(token=TOKEN), opened(token=TOKEN)
    await client.get("/login")
    form = {"form_token": form_token(await other.get("/login")), "token": TOKEN}
    refused = await client.post("/login", data=form, headers={"Origin": "http://localhost"})
    assert refused.status_code == 403


async def test_other_sites_may_link_and_not_embed(client: httpx.AsyncClient) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    link = await client.get("/streams", headers=foreign | {"Sec-Fetch-Mode": "navigate"})
    assert link.status_code == 200
    embedded = await client.get("/streams", headers=foreign | {"Sec-Fetch-Mode": "no-cors"})
    assert embedded.status_code == 403


async def test_proxy_names_the_user_and_the_address(opened: Opened) -> None:
    client = opened(behind_proxy=True, hosts=["localhost"])
    assert (await client.get("/streams")).status_code == 403
    headers = {
        "X-Forwarded-User": "ada",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "tools.example",
        "X-Forwarded-Prefix": "/console",
    }
    page = await client.get("/streams", headers=headers)
    assert page.status_code == 200
    assert 'href="/console/streams' in page.text
    cookie = page.headers["set-cookie"]
    assert "Path=/console" in cookie
    assert "Secure" in cookie
    rebound = await client.get("/streams", headers=headers | {"Host": "evil.example"})
    assert rebound.status_code == 421


async def test_console_works_below_a_path(opened: Opened, store: Raw) -> None:
    await write(store, "account-1", "Opened")
    client = opened(at="/tools/console")
    for path in ("/streams", "/nowhere", "/static/nowhere"):
        page = await client.get(path)
        links = re.findall(r'(?:href|src|action)="([^"#]*)"', page.text)
        assert links
        assert [
            each
            for each in links
            if not each.startswith("/tools/console/") or "static/static" in each
        ] == []
    page = await client.get("/streams")
    assert (await client.get("/stream", params={"stream": "account-1"})).status_code == 200
    css = re.search(r'href="/tools/console(/static/console[^"]*)"', page.text)
    assert css is not None
    style = await client.get(css[1])
    assert style.status_code == 200
    assert "immutable" in style.headers["cache-control"]


async def test_path_of_a_mount_adds_nothing_to_cookies(opened: Opened, store: Raw) -> None:
    await write(store, "account-1", "Opened")
    client = opened(at="/{tenant}/a console")
    for tenant in ("x; Domain=example.com", "x\r\nX-Made: 1", "é"):
        path = f"http://localhost/{quote(tenant)}/a%20console"
        page = await client.get(f"{path}/streams")
        assert page.status_code == 200
        (cookie,) = page.headers.get_list("set-cookie")
        assert f"; Path=/{quote(tenant)}/a%20console; HttpOnly" in cookie
        links = re.findall(r'href="([^"#]*)"', page.text)
        assert {each.startswith(f"/{quote(tenant)}/a%20console/") for each in links} == {True}


def test_token_of_few_characters_is_refused(store: Raw) -> None:
    with pytest.raises(pgstore.InvalidArgumentError):
        ui.app(store, token="short")
