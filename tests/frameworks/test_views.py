"""Positions and stored messages as the answers of web frameworks."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

import attrs
import fastapi
import flask
import httpx
import msgspec
import pydantic
import pytest

import pgstore
from pgstore import AsyncMessageStore, MessagePosition, MessageStore, RawMessage, StoredMessage
from tests.frameworks.django_settings import configure
from tests.frameworks.messages import Paid

POSITION = {"stream": "string", "version": "integer", "global_position": "integer"}


@pytest.fixture
def store(conninfo: str, shared: str) -> Iterator[MessageStore[Paid]]:
    with MessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        yield store


class Line(msgspec.Struct, tag=True):
    article: str
    price: Decimal


class Gift(msgspec.Struct, tag=True):
    article: str


class Ordered(msgspec.Struct, rename="camel"):
    order_day: date
    lines: list[Line | Gift]


@attrs.define
class Shipped:
    parcel: UUID


@dataclasses.dataclass
class Returned:
    parts: int


class Refunded(pydantic.BaseModel):
    at: datetime


class Folder(msgspec.Struct):
    folders: list["Folder"] = []


MESSAGES: list[tuple[type[Any], Any, Any]] = [
    (
        Ordered,
        Ordered(date(2026, 1, 2), [Line("pen", Decimal("1.50")), Gift("card")]),
        {
            "orderDay": "2026-01-02",
            "lines": [
                {"type": "Line", "article": "pen", "price": "1.50"},
                {"type": "Gift", "article": "card"},
            ],
        },
    ),
    (Shipped, Shipped(UUID(int=7)), {"parcel": str(UUID(int=7))}),
    (Returned, Returned(3), {"parts": 3}),
    (Refunded, Refunded(at=datetime(2026, 1, 2, tzinfo=UTC)), {"at": "2026-01-02T00:00:00Z"}),
    (Folder, Folder([Folder()]), {"folders": [{"folders": []}]}),
    (RawMessage, RawMessage("Paid", b'{"amount": [1]}'), {"type": "Paid", "data": {"amount": [1]}}),
]


def stored(message: Any) -> StoredMessage[Any]:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return StoredMessage(UUID(int=1), "order-1", 2, message, 30, when, {"by": ["ada"]}, ("tag",))


def in_json(payload: Any) -> dict[str, Any]:
    return {
        "message_id": str(UUID(int=1)),
        "stream": "order-1",
        "version": 2,
        "message": payload,
        "global_position": 30,
        "added_at": "2026-01-02T03:04:05Z",
        "metadata": {"by": ["ada"]},
        "tags": ["tag"],
    }


@pytest.mark.parametrize(("kind", "message", "payload"), MESSAGES)
def test_pydantic_writes_describes_and_reads_messages_of_each_kind(
    kind: type[Any], message: Any, payload: Any
) -> None:
    for given in (kind, kind | Paid):
        adapter = pydantic.TypeAdapter[StoredMessage[Any]](StoredMessage[given])  # type: ignore[valid-type]
        text = adapter.dump_json(stored(message))
        assert msgspec.json.decode(text) == in_json(payload)
        assert adapter.validate_python(stored(message)) == stored(message)
        back = adapter.validate_json(text)
        if kind is RawMessage:
            assert msgspec.json.decode(back.message.data) == {"amount": [1]}
        else:
            assert back == stored(message)
        mode: Any
        for mode in ("validation", "serialization"):
            schema = adapter.json_schema(mode=mode)
            assert set(schema["required"]) == set(in_json(payload))
            assert set(references(schema)) <= {
                f"#/$defs/{name}" for name in schema.get("$defs", ())
            }


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from references(each)
    elif isinstance(schema, dict):
        yield from (each for key, each in schema.items() if key == "$ref")
        for each in schema.values():
            yield from references(each)


@pytest.mark.parametrize(("kind", "message", "payload"), MESSAGES)
def test_without_its_class_a_payload_is_written_as_it_is(
    kind: type[Any], message: Any, payload: Any
) -> None:
    adapter = pydantic.TypeAdapter(StoredMessage)
    assert msgspec.json.decode(adapter.dump_json(stored(message))) == in_json(payload)


def test_pydantic_refuses_what_is_no_position() -> None:
    adapter = pydantic.TypeAdapter(MessagePosition)
    position = MessagePosition("order-1", 1, 2)
    assert adapter.validate_json(adapter.dump_json(position)) == position
    assert adapter.validate_python(position) is position
    with pytest.raises(pydantic.ValidationError):
        adapter.validate_json('{"stream": "order-1", "version": "first", "global_position": 2}')
    with pytest.raises(pydantic.ValidationError):
        pydantic.TypeAdapter(StoredMessage[Paid]).validate_python(in_json({"amount": "much"}))


async def test_fastapi_answers_with_them_and_describes_them(
    conninfo: str, shared: str, stream: str
) -> None:
    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        async with AsyncMessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
            app.state.store = store
            yield

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.post("/orders/{stream}")
    async def pay(stream: str) -> MessagePosition:
        position: MessagePosition = await app.state.store.write(stream, Paid(7))
        return position

    @app.get("/orders/{stream}")
    async def read(stream: str) -> list[StoredMessage[Paid]]:
        return [each async for each in app.state.store.read(stream)]

    @app.post("/seen")
    async def seen(position: Annotated[MessagePosition, fastapi.Body()]) -> int:
        return position.version

    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        paid = (await client.post(f"/orders/{stream}")).json()
        found = (await client.get(f"/orders/{stream}")).json()
        assert (await client.post("/seen", json=paid)).json() == 1
        assert (await client.post("/seen", json={"stream": 1})).status_code == 422
        openapi = (await client.get("/openapi.json")).json()
        (last,) = [each async for each in app.state.store.read(stream)]
    assert paid == {"stream": stream, "version": 1, "global_position": last.global_position}
    assert [each["message"] for each in found] == [{"amount": 7}]
    assert datetime.fromisoformat(found[0]["added_at"]) == last.added_at
    schemas = openapi["components"]["schemas"]
    described = schemas["MessagePosition"]
    assert {key: each["type"] for key, each in described["properties"].items()} == POSITION
    assert described["required"] == list(POSITION)
    answer = openapi["paths"]["/orders/{stream}"]["get"]["responses"]["200"]["content"]
    items = answer["application/json"]["schema"]["items"]
    assert items == {"$ref": "#/components/schemas/StoredMessage_Paid_"}
    message = schemas["StoredMessage_Paid_"]["properties"]["message"]
    assert (message["title"], message["required"]) == ("Paid", ["amount"])
    assert set(references(openapi)) <= {f"#/components/schemas/{name}" for name in schemas}


def test_flask_answers_with_them(store: MessageStore[Paid], stream: str) -> None:
    app = flask.Flask("shop")

    @app.post("/orders/<stream>")
    def pay(stream: str) -> Any:
        return msgspec.to_builtins(store.write(stream, Paid(7)))

    @app.get("/orders/<stream>")
    def read(stream: str) -> Any:
        return msgspec.to_builtins(list(store.read(stream)))

    with app.test_client() as client:
        assert client.post(f"/orders/{stream}").get_json()["version"] == 1
        (found,) = client.get(f"/orders/{stream}").get_json()
    assert found["message"] == {"amount": 7}
    assert found["stream"] == stream


def test_django_rest_framework_answers_with_them(
    server_conninfo: str, store: MessageStore[Paid], stream: str
) -> None:
    configure(server_conninfo)
    from django.test import RequestFactory
    from rest_framework.decorators import (
        api_view,
        authentication_classes,
        permission_classes,
        renderer_classes,
    )
    from rest_framework.renderers import JSONRenderer
    from rest_framework.response import Response

    def pay(request: Any) -> Any:
        store.write(stream, Paid(7))
        return Response(msgspec.to_builtins(list(store.read(stream))))

    view = api_view(["GET"])(
        authentication_classes([])(permission_classes([])(renderer_classes([JSONRenderer])(pay)))
    )
    answer = view(RequestFactory().get("/"))
    answer.render()
    (found,) = msgspec.json.decode(answer.content)
    assert (found["message"], found["stream"]) == ({"amount": 7}, stream)


def test_a_message_that_pydantic_models_hold_is_read_and_written() -> None:
    class Feed(pydantic.BaseModel):
        messages: list[StoredMessage[Paid]]
        after: MessagePosition | None

    one = pgstore.StoredMessage(uuid4(), "a-1", 1, Paid(1), 2, datetime.now(UTC))
    feed = Feed(messages=[one], after=MessagePosition("a-1", 1, 2))
    assert Feed.model_validate_json(feed.model_dump_json()) == feed
