"""The functions that answer one JSON object: the same as those that answer rows."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store
from tests.sql.subscriptions import Subscription

# The row of all_messages, as JSON: what each message in an answer must be.
STORED = """
SELECT to_json((
  a.message_id, a.stream, a.version, a.global_position, a.type, a.data, a.metadata, a.added_at,
  a.tags
)::STORE.message)
FROM STORE.all_messages AS a WHERE a.global_position = ANY (%s) ORDER BY a.global_position
"""


def answer(
    store: Store, function: str, *given: object, on: Connection | None = None, **named: object
) -> dict[str, Any]:
    ((value,),) = store.call(function, *given, on=on, **named)
    assert isinstance(value, dict)
    return value


def stored(store: Store, positions: list[int]) -> list[Any]:
    return [message for (message,) in store.query(STORED, [positions])]


def positions(found: dict[str, Any]) -> list[int]:
    return [message["global_position"] for message in found["messages"]]


def key(claim: dict[str, Any]) -> tuple[str, int, int]:
    return claim["subscription"], claim["partition"], claim["token"]


@pytest.mark.parametrize("partitions", [1, 3])
def test_claim_is_the_messages_their_lease_and_their_checkpoint(
    store: Store, partitions: int
) -> None:
    reader = Subscription(store, partitions=partitions)
    assert answer(store, "claim_batch_json", [reader.name], "w") == {"state": "idle"}
    written = [reader.write() for _ in range(4)]
    claim = answer(store, "claim_batch_json", [reader.name], "w", max_count=2)
    assert claim == {
        "state": "claimed",
        "subscription": reader.name,
        "partition": claim["partition"],
        "token": claim["token"],
        "checkpoint": written[1],
        "parked": False,
        "messages": stored(store, written[:2]),
    }
    (leased,) = [row for row in reader.partitions() if row["worker"] == "w"]
    assert leased["partition"] == claim["partition"]
    store.call("acknowledge", *key(claim), claim["checkpoint"])
    rest = answer(store, "fetch_batch_json", *key(claim), 2)
    later = {"checkpoint": written[3], "messages": stored(store, written[2:])}
    assert rest == claim | later
    store.call("acknowledge", *key(rest), rest["checkpoint"])
    assert answer(store, "fetch_batch_json", *key(claim)) == {"state": "idle"}
    store.call("release_partition", *key(claim))
    assert answer(store, "claim_batch_json", [reader.name], "w") == {"state": "idle"}


def test_claim_has_what_a_message_may_have(store: Store) -> None:
    reader = Subscription(store)
    stream = f"{reader.category}-1"
    data = '{"n": [1, null, 12345678901234567890.5], "s": "é\\"\\\\\\n"}'
    store.write(stream, "A", data, '{"of": "me"}', tags=["b", "a"])
    store.write(stream, "B", "null")
    ((raw,),) = store.query(
        "SELECT STORE.claim_batch_json(%s, 'w')::text", [[reader.name]]
    ).fetchall()
    first, second = json.loads(raw, parse_float=str)["messages"]
    assert first["data"] == {"n": [1, None, "12345678901234567890.5"], "s": 'é"\\\n'}
    assert (first["metadata"], first["tags"]) == ({"of": "me"}, ["a", "b"])
    assert (second["data"], second["metadata"], second["tags"]) == (None, None, None)


def test_claim_of_what_another_worker_looks_at_is_busy(store: Store, connect: Connect) -> None:
    reader = Subscription(store, partitions=2)
    reader.write()
    other = connect(autocommit=False)
    lock = "SELECT FROM STORE.subscription_sweeps FOR UPDATE"
    store.query(lock, on=other)
    worker = connect(options="-c lock_timeout=1s")
    assert answer(store, "claim_batch_json", [reader.name], "w", on=worker) == {"state": "busy"}
    other.rollback()
    assert answer(store, "claim_batch_json", [reader.name], "w")["state"] == "claimed"


def test_claim_of_nothing_to_fetch_leaves_no_lease(store: Store) -> None:
    """Messages that were deleted after they had been listed for a partition."""
    reader = Subscription(store, partitions=2)
    reader.write()
    reader.claimed().release()
    store.query(
        "DELETE FROM STORE.messages AS m USING STORE.streams AS s"
        " WHERE s.stream_id = m.stream_id AND s.category = %s",
        [reader.category],
    )
    assert answer(store, "claim_batch_json", [reader.name], "w") == {"state": "busy"}
    assert [row["worker"] for row in reader.partitions() if row["leased_until"]] == []
    assert answer(store, "claim_batch_json", [reader.name], "w") == {"state": "idle"}


def test_checkpoint_passes_what_the_filters_leave_out(store: Store) -> None:
    reader = Subscription(store, types=["A"])
    first = reader.write()
    last = reader.write(type_="B")
    claim = answer(store, "claim_batch_json", [reader.name], "w")
    assert positions(claim) == [first]
    assert claim["checkpoint"] >= last
    store.call("acknowledge", *key(claim), claim["checkpoint"], release=True)
    assert reader.position() >= last


def test_message_under_replay_is_settled(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    position = reader.write()
    lease = reader.claimed()
    lease.fail(position)
    lease.release()
    store.call("replay_parked", reader.name)
    claim = answer(store, "claim_batch_json", [reader.name], "w")
    assert (claim["parked"], positions(claim)) == (True, [position])
    again = answer(store, "fetch_batch_json", *key(claim))
    assert again == claim
    store.call("settle_parked", *key(claim), position)
    assert reader.parked() == []
    assert answer(store, "fetch_batch_json", *key(claim)) == {"state": "idle"}


@pytest.mark.parametrize("seconds", [0.25, 30, 31104000000])
def test_lease_is_in_seconds(store: Store, seconds: float) -> None:
    reader = Subscription(store)
    reader.write()
    answer(store, "claim_batch_json", [reader.name], "w", seconds)
    ((lease,),) = store.query(
        "SELECT extract(epoch FROM p.lease)::float8 FROM STORE.subscription_partitions AS p"
        " JOIN STORE.subscriptions AS s USING (subscription_id) WHERE s.subscription = %s",
        [reader.name],
    ).fetchall()
    assert lease == seconds


@pytest.mark.parametrize("seconds", [0, 1e-7, -1, 31104000001, "NaN", "Infinity", None])
def test_lease_that_is_no_time_is_refused(store: Store, seconds: object) -> None:
    reader = Subscription(store)
    reader.write()
    with store.refused("22023", argument="lease_seconds"):
        store.call("claim_batch_json", [reader.name], "w", seconds)
    assert answer(store, "claim_batch_json", [reader.name], "w")["state"] == "claimed"


def test_errors_are_those_of_the_functions_that_answer_rows(store: Store) -> None:
    reader = Subscription(store)
    with store.refused("MS021", subscription="none"):
        store.call("claim_batch_json", ["none"], "w")
    with store.refused("22023", argument="max_count"):
        store.call("claim_batch_json", [reader.name], "w", max_count=0)
    with store.refused("MS020", subscription=reader.name):
        store.call("fetch_batch_json", reader.name, 0, 1)
    ((last,),) = store.call("last_position")
    with store.refused("MS006", position=last + 1000):
        store.call("read_page_json", last + 1000)
    with store.refused("22023", argument="metadata_filter"):
        store.call("read_matching_json", "[]")
    with store.refused("22023", argument="query"):
        store.call("read_tagged_json", "[]")


@pytest.mark.parametrize(
    ("function", "given"),
    [
        ("claim_batch_json", [[], "w"]),
        ("fetch_batch_json", ["s", 0, 1]),
        ("read_page_json", []),
        ("read_matching_json", []),
        ("read_tagged_json", ['[{"tags": ["a"]}]']),
    ],
)
def test_old_snapshot_is_refused(
    store: Store, connect: Connect, function: str, given: list[object]
) -> None:
    conn = connect(autocommit=False)
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with store.refused("MS004"):
        store.call(function, *given, on=conn)


def test_pages_follow_everything(store: Store) -> None:
    category = f"c{uuid4().hex[:12]}"
    written = [store.write(f"{category}-{n}")[1] for n in range(5)]
    store.write(f"other-{uuid4().hex}")
    ((last,),) = store.call("last_position")
    found: list[int] = []
    after, more = written[0] - 1, True
    while more:
        page = answer(store, "read_page_json", after, 2, categories=[category])
        assert page["messages"] == stored(store, positions(page))
        assert page["more"] == (len(page["messages"]) == 2)
        found += positions(page)
        after, more = page["reached_position"], page["more"]
    assert found == written
    assert (page["reached_position"], page["looked_position"]) == (last, last)
    empty = answer(store, "read_page_json", last)
    assert empty == {
        "reached_position": last,
        "looked_position": last,
        "more": False,
        "messages": [],
    }


def test_page_stops_before_what_is_in_flight(store: Store, connect: Connect) -> None:
    first = store.write(f"a-{uuid4().hex}")[1]
    writer = connect(autocommit=False)
    store.write(f"b-{uuid4().hex}", on=writer)
    store.write(f"c-{uuid4().hex}")
    page = answer(store, "read_page_json", first - 1)
    assert (positions(page), page["more"]) == ([first], False)
    writer.rollback()


def test_matching_pages_say_whether_there_is_more_to_look_at(store: Store) -> None:
    name = uuid4().hex
    before = store.write(f"a-{name}")[1]
    for _ in range(20):
        store.write(f"a-{name}")
    wanted = store.write(f"a-{name}", "A", "{}", json.dumps({"of": name}), tags=[name])[1]
    for filters in ({"metadata_filter": json.dumps({"of": name})}, {"tags_filter": [name]}):
        looks: list[bool] = []
        found: list[int] = []
        after, more = before, True
        while more:
            page = answer(
                store, "read_matching_json", after_position=after, max_looked=5, **filters
            )
            found += positions(page)
            after, more = page["reached_position"], page["more"]
            looks.append(bool(page["messages"]))
        assert found == [wanted]
    # By metadata it takes several looks, of which the first ones find nothing.
    by_metadata = answer(
        store, "read_matching_json", json.dumps({"of": name}), before, max_looked=5
    )
    assert (by_metadata["messages"], by_metadata["more"]) == ([], True)
    full = answer(store, "read_matching_json", None, before, 1)
    assert (len(full["messages"]), full["more"]) == (1, True)
    assert full["reached_position"] == full["looked_position"] == positions(full)[0]


def test_tagged_messages_come_with_the_token_of_the_condition(store: Store) -> None:
    tag = uuid4().hex
    query = json.dumps([{"tags": [tag]}])
    nothing = answer(store, "read_tagged_json", query)
    assert nothing == {"decided_upon": nothing["decided_upon"], "messages": []}
    message = json.dumps([{"type": "A", "data": 1, "tags": [tag]}])
    token = nothing["decided_upon"]
    ((_, position),) = store.call("write_if", f"a-{tag}", message, query, token)
    with store.refused("MS009", global_position=position):
        store.call("write_if", f"b-{tag}", message, query, token)
    found = answer(store, "read_tagged_json", query)
    assert found["messages"] == stored(store, [position])
    assert answer(store, "read_tagged_json", query, position)["messages"] == []


def test_numbers_are_exact_beyond_what_a_double_holds(empty: Store) -> None:
    empty.query("SELECT setval('STORE.global_position_seq', 9007199254740992)")
    reader = Subscription(empty, start_position=0)
    position = reader.write()
    assert position == 2**53 + 1
    assert positions(answer(empty, "read_page_json")) == [position]
    assert positions(answer(empty, "claim_batch_json", [reader.name], "w")) == [position]


@pytest.mark.parametrize("kind", ["read", "consume"])
def test_role_that_was_granted_rows_may_have_them_as_json(
    store: Store, connect: Connect, kind: str
) -> None:
    reader = Subscription(store)
    reader.write()
    calls: dict[str, list[tuple[str, list[object]]]] = {
        "read": [
            ("read_page_json", [0, 1]),
            ("read_matching_json", [None, 0, 1]),
            ("read_tagged_json", ['[{"tags": ["a"]}]']),
        ],
        "consume": [("claim_batch_json", [[reader.name], "w"])],
    }
    with new_role(store) as role:
        store.call("grant_access", role, kind)
        conn = connect(user=role)
        for function, given in calls[kind]:
            assert "messages" in answer(store, function, *given, on=conn)
        for function, given in calls["read" if kind == "consume" else "consume"]:
            with store.refused("42501"):
                store.call(function, *given, on=conn)
        if kind == "consume":
            with store.refused("22023", argument="lease_seconds"):
                store.call("claim_batch_json", [], "w", 0, on=conn)
        conn.close()
