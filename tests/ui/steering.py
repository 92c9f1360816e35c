"""Subscriptions in each state, and forms as a browser sends them."""

import html
import re
from typing import Any

import httpx

from pgstore import RawMessage
from tests.ui.conftest import Raw, write


async def subscribe(store: Raw, name: str, **options: Any) -> Any:
    """Make a subscription whose handlers fail at messages of the type Bad."""
    subscription = store.subscription(name, retry_delay=0, **options)

    @subscription.handler
    async def handle(message: RawMessage) -> None:
        if message.type == "Bad":
            raise ValueError(f"cannot handle it\nby {name} <b>")

    return subscription


async def fail(store: Raw, name: str = "balances", **options: Any) -> Any:
    """A subscription of two partitions, one of which a message has stopped."""
    for number in range(1, 5):
        await write(store, f"account-{number}", "Good")
    await write(store, "account-1", "Bad")
    options = {"partitions": 2, "max_attempts": 2} | options
    subscription = await subscribe(store, name, **options)
    await store.run_once(subscription, raise_errors=False)
    return subscription


async def post(client: httpx.AsyncClient, path: str, **fields: object) -> httpx.Response:
    """Send a form that a page of the console has."""
    token = ""
    page = await client.get("/login")
    if found := re.search(r'name="form_token" value="(\w+)"', page.text):
        token = found[1]
    form = {"form_token": token} | {name: str(each) for name, each in fields.items()}
    return await client.post(path, data=form, headers={"Origin": "http://localhost"})


async def send_form(client: httpx.AsyncClient, page: httpx.Response) -> httpx.Response:
    """Send the form of a page with a question, as its button does."""
    (form,) = re.findall(r'<form method="post" action="([^"]*)">(.*?)</form>', page.text, re.S)
    fields = {
        name: html.unescape(value)
        for name, value in re.findall(r'name="([^"]*)" value="([^"]*)"', form[1])
    }
    return await client.post(
        html.unescape(form[0]), data=fields, headers={"Origin": "http://localhost"}
    )


def text_of(page: httpx.Response) -> str:
    """What a page says, in a line."""
    content = page.text.partition("<main")[2].partition("</main>")[0]
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", content).split()))
