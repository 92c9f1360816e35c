"""What caused what, as a tree."""

import html
import re
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from pgstore.ui.causes import Step, steps_of
from pgstore.ui.stored import Stored
from tests.ui.conftest import Raw, write


async def caused(store: Raw, stream: str, type: str, cause: UUID | None, **more: Any) -> UUID:
    """Write a message of the correlation id r-1; its id."""
    metadata = {"correlation_id": "r-1"} | ({"causation_id": str(cause)} if cause else {}) | more
    await write(store, stream, type, metadata=metadata)
    stored = await store.last(stream)
    assert stored is not None
    return stored.message_id


def tree_in(page: httpx.Response) -> list[tuple[int, str]]:
    found = re.findall(r'<li aria-level="(\d+)".*?<span class="type[^>]*>([^<]*)<', page.text, re.S)
    return [(int(level), html.unescape(type)) for level, type in found]


async def test_effects_are_below_their_causes(client: httpx.AsyncClient, store: Raw) -> None:
    placed = await caused(store, "order-1", "Placed", None)
    paid = await caused(store, "payment-1", "Paid", placed)
    other = await caused(store, "mail-1", "Mailed", placed)
    await caused(store, "parcel-1", "Sent", paid)
    await caused(store, "mail-2", "Opened", other)
    page = await client.get("/trace", params={"correlation": "r-1"})
    assert tree_in(page) == [(1, "Placed"), (2, "Paid"), (3, "Sent"), (2, "Mailed"), (3, "Opened")]


async def test_trace_of_a_message_marks_it(client: httpx.AsyncClient, store: Raw) -> None:
    placed = await caused(store, "order-1", "Placed", None)
    paid = await caused(store, "payment-1", "Paid", placed)
    page = await client.get("/trace", params={"message": str(paid)})
    assert tree_in(page) == [(1, "Placed"), (2, "Paid")]
    marked = re.search(r'<li aria-level="2" class="marked"', page.text)
    assert marked


async def test_first_message_without_correlation_id_is_the_root(
    client: httpx.AsyncClient, store: Raw
) -> None:
    await write(store, "order-1", "Placed")
    first = await store.last("order-1")
    assert first is not None
    id = str(first.message_id)
    await write(store, "payment-1", "Paid", metadata={"correlation_id": id, "causation_id": id})
    page = await client.get("/trace", params={"message": id})
    assert tree_in(page) == [(1, "Placed"), (2, "Paid")]


async def test_metadata_that_makes_a_circle_ends(client: httpx.AsyncClient, store: Raw) -> None:
    ids = [uuid4(), uuid4()]
    for number, cause in ((0, ids[1]), (1, ids[0])):
        metadata = {"correlation_id": "r-1", "causation_id": str(cause)}
        message = type_with_id(f"M{number}", ids[number])
        await store.write(f"a-{number}", message, metadata=metadata)
    await caused(store, "a-3", "Odd", None, causation_id=["no", "id"])
    page = await client.get("/trace", params={"correlation": "r-1"})
    assert tree_in(page) == [(1, "M0"), (2, "M1"), (1, "Odd")]


def type_with_id(type: str, id: UUID) -> Any:
    from pgstore import RawMessage

    return RawMessage(type, b"{}", id)


async def test_long_chain_is_shown_in_pages(client: httpx.AsyncClient, store: Raw) -> None:
    cause = None
    for number in range(503):
        id = uuid4()
        metadata: dict[str, object] = {"correlation_id": "r-1"}
        if cause is not None:
            metadata["causation_id"] = str(cause)
        await store.write(f"a-{number}", type_with_id("Step", id), metadata=metadata)
        cause = id
    page = await client.get("/trace", params={"correlation": "r-1"})
    assert [level for level, _ in tree_in(page)] == list(range(1, 501))
    link = re.search(r'rel="next" href="([^"]*)"', page.text)
    assert link is not None
    # The cause of the first one is shown too.
    rest = await client.get(html.unescape(link[1]))
    assert [level for level, _ in tree_in(rest)] == [1, 2, 3, 4]


async def test_payloads_of_a_trace_are_not_read_whole(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = '{"note": "' + "x" * 100_000 + '"}'
    await write(store, "order-1", "Placed", data, metadata={"correlation_id": "r"})
    stored = await store.last("order-1")
    assert stored is not None
    seen: list[int] = []

    def kept(messages: list[Stored]) -> list[Step]:
        seen.extend(len(each.data) for each in messages)
        return steps_of(messages)

    monkeypatch.setattr("pgstore.ui.views.trace.steps_of", kept)
    await client.get("/trace", params={"correlation": "r"})
    await client.get("/trace", params={"message": str(stored.message_id)})
    assert seen == [200, 200]


async def test_unknown_correlation_id_says_so(client: httpx.AsyncClient) -> None:
    page = await client.get("/trace", params={"correlation": "nothing"})
    assert "No message has this correlation id" in page.text
    assert (await client.get("/trace", params={"correlation": "x" * 256})).status_code == 400
    assert (await client.get("/trace", params={"message": str(uuid4())})).status_code == 404
