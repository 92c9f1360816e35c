"""The payload of a message is replaced; all else stays, and nothing of the old one is kept."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Subscription


@pytest.fixture
def message(store: Store, stream: str) -> UUID:
    message_id = uuid4()
    store.write(stream, "A", '{"name": "secret-name"}', '{"user": "secret-user"}', 0, message_id)
    return message_id


def test_redact_message_keeps_all_but_the_payload(store: Store, message: UUID) -> None:
    (before,) = store.call("get_message", message)
    assert store.call("redact_message", message, '{"name": null}', "erasure") == [("",)]
    (after,) = store.call("get_message", message)
    assert after[5] == {"name": None}
    assert (after[:5], after[6:]) == (before[:5], before[6:])


def test_redact_message_replaces_the_metadata_if_it_is_given(store: Store, message: UUID) -> None:
    store.call("redact_message", message, "{}", "erasure", metadata='{"user": null}')
    assert store.call("get_message", message)[0][6] == {"user": None}


def test_redact_message_is_in_the_audit_without_the_content(
    store: Store, stream: str, message: UUID
) -> None:
    store.call("redact_message", message, '{"name": "new-name"}', "erasure 17", metadata="{}")
    ((entry, _, session, acting, action, subject, reason, detail),) = store.call("list_audit", 1)
    assert (session, acting, action, subject) == (
        "postgres",
        "postgres",
        "redact_message",
        str(message),
    )
    assert (reason, detail["stream"], detail["version"]) == ("erasure 17", stream, 1)
    text = repr(store.query("SELECT a.* FROM STORE.audit AS a").fetchall())
    assert entry > 0
    assert not {word for word in ("secret", "new-name") if word in text}


def found(store: Store, tag: str) -> list[object]:
    *rows, _ = store.call("read_tagged", json.dumps([{"tags": [tag]}]))
    return [row[0] for row in rows]


def test_redact_message_keeps_the_tags_but_those_to_remove(store: Store, stream: str) -> None:
    message_id = uuid4()
    tags = [f"{name}:{message_id}" for name in ("course", "email", "secret")]
    store.write(stream, "A", "1", message_id=message_id, tags=tags)

    store.call("redact_message", message_id, "2", "erasure")
    assert store.call("get_message", message_id)[0][8] == tags

    store.call("redact_message", message_id, "3", "erasure", remove_tags=tags[:0])
    store.call("redact_message", message_id, "3", "erasure", remove_tags=[*tags[1:], tags[1]])
    assert store.call("get_message", message_id)[0][8] == tags[:1]
    assert [found(store, tag) for tag in tags] == [[message_id], [], []]
    assert store.call("list_audit", 1)[0][7]["tags"] == 3
    assert "secret" not in repr(store.query("SELECT a.* FROM STORE.audit AS a").fetchall())

    store.call("redact_message", message_id, "4", "erasure", remove_tags=tags[:1])
    assert store.call("get_message", message_id)[0][8] is None
    rows = "SELECT FROM STORE.message_tags AS t WHERE t.tag_key = ANY (%s)"
    keys = [store.call("_tag_key", tag)[0][0] for tag in tags]
    assert store.query(rows, [keys]).rowcount == 0


@pytest.mark.parametrize("wrong", [["b"], ["a", "b"], [None], ["a", None], [""], ["A"]])
def test_redact_message_refuses_tags_that_the_message_does_not_have(
    store: Store, stream: str, wrong: list[str | None]
) -> None:
    tagged, other = uuid4(), uuid4()
    store.write(stream, "A", "1", message_id=tagged, tags=["a"])
    store.write(stream, "A", "1", message_id=other)
    for message_id, tags in ((tagged, wrong), (other, wrong), (other, ["a"])):
        with store.refused("22023", argument="remove_tags"):
            store.call("redact_message", message_id, "2", "erasure", remove_tags=tags)
    assert store.call("get_message", tagged)[0][5:9:3] == (1, ["a"])


WAYS = {
    "redact_message": "SELECT STORE.redact_message(%(id)s, '{}', 'erasure')",
    "truncate_stream": "SELECT STORE.truncate_stream(%(stream)s, 2)",
    "delete_stream": "SELECT STORE.delete_stream(%(stream)s, 1)",
    "apply_retention": "SELECT STORE.apply_retention()",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on_failure", ["park", "stop"])
def test_what_a_handler_said_of_a_message_goes_with_its_content(
    store: Store, way: str, on_failure: str
) -> None:
    """An error often quotes what it is about."""
    reader = Subscription(store, on_failure=on_failure, max_attempts=1)
    message_id = uuid4()
    stream = f"{reader.category}-1"
    _, position = store.write(stream, message_id=message_id)
    assert reader.claimed().fail(position, "not an address: secret-address") == on_failure
    store.call("set_retention", reader.category, max_count=0, keep_unhandled=False)
    parameters = {"id": message_id, "stream": stream}
    store.conn.execute(WAYS[way].replace("STORE", store.name).encode(), parameters)
    for table in ("parked_messages", "subscription_partitions", "audit"):
        assert "secret" not in repr(store.query(f"SELECT t.* FROM STORE.{table} AS t").fetchall())
    store.call("drop_retention", reader.category)
    store.call("drop_subscription", reader.name)


def test_retention_does_not_wait_for_a_handler_to_forget_its_error(
    store: Store, connect: Connect
) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    _, position = store.write(f"{reader.category}-1")
    reader.claimed().fail(position, "secret-address")
    handler = connect(autocommit=False)
    store.query("SELECT FROM STORE.parked_messages AS k FOR UPDATE", on=handler)
    store.call("set_retention", reader.category, max_count=0)
    assert store.call("apply_retention") == [(0, True)]
    handler.rollback()
    assert store.call("apply_retention") == [(1, False)]
    store.call("drop_retention", reader.category)
    store.call("drop_subscription", reader.name)


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("data", {"data": None}),
        ("reason", {"reason": None}),
        ("reason", {"reason": " "}),
        ("metadata", {"metadata": "[]"}),
        ("message_id", {"message_id": uuid4()}),
        ("message_id", {"message_id": None}),
    ],
)
def test_redact_message_refuses_bad_arguments(
    store: Store, message: UUID, argument: str, given: dict[str, Any]
) -> None:
    named: dict[str, Any] = {"message_id": message, "data": "{}", "reason": "erasure"} | given
    with store.refused("22023", argument=argument):
        store.call("redact_message", **named)


def test_redacted_message_is_not_written_again(store: Store, stream: str, message: UUID) -> None:
    store.call("redact_message", message, "{}", "erasure")
    with store.refused("MS002", message_id=str(message)):
        store.write(stream, "A", '{"name": "secret-name"}', '{"user": "secret-user"}', 0, message)


def test_redact_message_keeps_it_in_its_partition(store: Store, message: UUID) -> None:
    """A checkpoint of another partition may have passed it already."""
    reader = Subscription(store, partition_by="metadata:user", categories=None, partitions=8)
    with store.refused("22023", argument="metadata"):
        store.call("redact_message", message, "{}", "erasure", metadata='{"user": null}')
    store.call("redact_message", message, "{}", "erasure", metadata='{"user": "secret-user"}')
    store.call("drop_subscription", reader.name)
