"""Tags of messages: what is stored, found and refused."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Store

BAD_TAGS: dict[str, list[str | None]] = {
    "empty": [""],
    "null": [None],
    "second null": ["a", None],
    "second empty": ["a", ""],
    "long": ["x" * 256],
    "long in bytes": ["é" * 128],
    "many": [f"t:{n}" for n in range(33)],
}

UNHEARD_OF = '[{"tags": ["unheard of"]}]'


def write_by(store: Store, function: str, stream: str, tags: list[str | None] | None) -> None:
    if function == "write_message":
        store.call("write_message", stream, "A", "{}", tags=tags)
    elif function == "write_messages":
        messages: list[dict[str, object]] = [{"type": "A", "data": {}, "tags": tags}]
        store.call("write_messages", stream, json.dumps(messages))
    elif function == "write_if":
        messages = [{"type": "A", "data": {}, "tags": tags}]
        store.call("write_if", stream, json.dumps(messages), UNHEARD_OF, "0+")
    else:
        store.query(
            "SELECT * FROM STORE.write_arrays(%s, '{A}', '{1}', tags => ARRAY[%s::jsonb])",
            [stream, json.dumps(tags)],
        )


def tags_of(store: Store, stream: str) -> list[list[str] | None]:
    rows = store.query(
        "SELECT m.tags FROM STORE.messages AS m JOIN STORE.streams AS s USING (stream_id)"
        " WHERE s.stream = %s ORDER BY m.version",
        [stream],
    )
    return [tags for (tags,) in rows]


FUNCTIONS = ["write_message", "write_messages", "write_arrays", "write_if"]


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (["b"], ["b"]),
        (["a", "b"], ["a", "b"]),
        (["b", "a"], ["a", "b"]),
        (["a", "a"], ["a"]),
        (["é", "z", "Z"], ["Z", "z", "é"]),
        (["x" * 255], ["x" * 255]),
        ([], None),
        (None, None),
        ([f"t:{n:02}" for n in range(32)], [f"t:{n:02}" for n in range(32)]),
    ],
)
def test_tags_are_stored_once_each_in_the_order_of_their_bytes(
    store: Store,
    stream: str,
    function: str,
    exists: bool,
    given: list[str | None] | None,
    stored: list[str] | None,
) -> None:
    if exists:
        store.write(stream)
    write_by(store, function, stream, given)
    assert tags_of(store, stream)[-1] == stored


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bad", BAD_TAGS)
def test_bad_tags_are_refused(store: Store, stream: str, function: str, bad: str) -> None:
    with store.refused("22023", argument="tags"):
        write_by(store, function, stream, BAD_TAGS[bad])


@pytest.mark.parametrize(
    "messages",
    [
        *("5", "null", "{}", "[]", "[5]", "[[]]", "[null]", '[{"type": "A"}]', '[{"data": 1}]'),
        *('[{"type": 1, "data": 1}]', '[{"type": null, "data": 1}]', '[{"type": "", "data": 1}]'),
        *('{"type": "A", "data": 1}', '[{"type": "A", "data": 1, "other": 1}]'),
        *('[{"type": "A", "data": null}]', '[[{"type": "A", "data": 1}]]'),
        *(
            f'[{{"type": "A", "data": 1, "{key}": {value}}}]'
            for key in ("metadata", "tags", "message_id")
            for value in ("null", "{}", "[]", "1", '"a"', '{"0": "a"}')
        ),
        *(
            f'[{{"type": "A", "data": 1, "tags": [{tags}]}}]'
            for tags in ('null, "a"', '"a", 1', "true", '["a"]', '{"a": 1}', '"a", "b", 1')
        ),
    ],
)
def test_write_if_takes_and_refuses_the_messages_of_write_messages(
    store: Store, stream: str, messages: str
) -> None:
    """Only a sequence of one is taken apart in two ways."""

    def outcome(function: str, *condition: str) -> object:
        name = f"{stream}-{function}"
        try:
            store.call(function, name, messages, *condition)
        except psycopg.DatabaseError as error:
            return error.sqlstate, error.diag.message_primary, error.diag.message_detail
        rows = store.query("SELECT type, data, metadata FROM STORE.read_stream(%s)", [name])
        return list(rows), tags_of(store, name)

    assert outcome("write_if", UNHEARD_OF, "0+") == outcome("write_messages")


def test_arrays_of_other_bounds_have_all_their_tags(store: Store, stream: str) -> None:
    for number, tags in enumerate(["[0:1]={a,b}", "[5:5]={a}"]):
        store.call("write_message", f"{stream}-{number}", "A", "{}", tags=tags)
    assert [tags_of(store, f"{stream}-{n}") for n in range(2)] == [[["a", "b"]], [["a"]]]
    with store.refused("22023", argument="tags"):
        store.call("write_message", stream, "A", "{}", tags="{{a,b}}")


def test_the_same_write_again_has_the_same_tags(store: Store, stream: str) -> None:
    ids = [uuid4() for _ in range(2)]
    first = store.call("write_message", stream, "A", "1", message_id=ids[0], tags=["b", "a"])
    again = store.call("write_message", stream, "A", "1", message_id=ids[0], tags=["a", "b", "b"])
    assert again == first
    with store.refused("MS002"):
        store.call("write_message", stream, "A", "1", message_id=ids[0], tags=["a"])
    with store.refused("MS002"):
        store.call("write_message", stream, "A", "1", message_id=ids[0])


def test_the_same_conditional_write_again_gives_the_first_answer(store: Store, stream: str) -> None:
    tag = f"course:{uuid4()}"
    query = json.dumps([{"tags": [tag]}])
    ((*_, token),) = store.call("read_tagged", query)
    message_id = uuid4()

    def write() -> object:
        return store.call(
            "write_message",
            stream,
            "A",
            "1",
            message_id=message_id,
            tags=[tag],
            condition=query,
            decided_upon=token,
        )

    first = write()
    assert write() == first
    messages = [{"type": "A", "data": 1, "message_id": str(message_id), "tags": [tag]}]
    assert store.call("write_if", stream, json.dumps(messages), query, token) == first
    with store.refused("MS009", global_position=first[0][1], stream=stream, version=1, type="A"):
        messages[0]["message_id"] = str(uuid4())
        store.call("write_if", stream, json.dumps(messages), query, token)


@pytest.mark.parametrize(
    ("argument", "value"), [("stream", ""), ("stream", None), ("expected_version", -1)]
)
def test_a_bad_argument_is_refused_before_a_condition(
    store: Store, stream: str, argument: str, value: object
) -> None:
    store.call("write_message", stream, "A", "1", tags=["a"])
    given = {"stream": stream, "expected_version": None} | {argument: value}
    with store.refused("22023", argument=argument):
        store.query(
            "SELECT STORE.write_message(%(stream)s, 'A', '1', NULL, %(expected_version)s,"
            " condition => '[{\"tags\": [\"a\"]}]', decided_upon => '0+')",
            given,
        )


BAD_QUERIES = {
    "object": {},
    "empty": [],
    "no tags": [{"types": ["A"]}],
    "empty tags": [{"tags": []}],
    "null": [None],
    "tags a string": [{"tags": "a"}],
    "tag a number": [{"tags": [1]}],
    "tag empty": [{"tags": [""]}],
    "tag long": [{"tags": ["x" * 256]}],
    "many tags": [{"tags": [f"t:{n}" for n in range(33)]}],
    "types a string": [{"tags": ["a"], "types": "A"}],
    "types empty": [{"tags": ["a"], "types": []}],
    "type a number": [{"tags": ["a"], "types": [1]}],
    "types null": [{"tags": ["a"], "types": None}],
    "types in an array": [{"tags": ["a"], "types": [["A"]]}],
    "no types in an array": [{"tags": ["a"], "types": [[]]}],
    "many types": [{"tags": ["a"], "types": [f"T{n}" for n in range(1001)]}],
    "other keys": [{"tags": ["a"], "stream": "b"}],
    "many items": [{"tags": ["a"]}] * 101,
}


@pytest.mark.parametrize("bad", BAD_QUERIES)
def test_bad_queries_are_refused(store: Store, stream: str, bad: str) -> None:
    query = json.dumps(BAD_QUERIES[bad])
    with store.refused("22023", argument="query"):
        store.call("read_tagged", query)
    with store.refused("22023", argument="condition"):
        store.call("write_message", stream, "A", "1", condition=query, decided_upon="0+")
    with store.refused("22023", argument="condition"):
        store.call("write_if", stream, '[{"type": "A", "data": 1}]', query, "0+")


@pytest.mark.parametrize(
    "token",
    ["", "0", "+", "a+", "-1+", "0+1,", "0+,1", "0 + 1", "9" * 19 + "+", "0+" + "9" * 19, None],
)
def test_bad_tokens_are_refused(store: Store, stream: str, token: str | None) -> None:
    query = '[{"tags": ["a"]}]'
    with store.refused("22023", argument="decided_upon"):
        store.call("write_message", stream, "A", "1", condition=query, decided_upon=token)
    with store.refused("22023", argument="decided_upon"):
        store.call("write_if", stream, '[{"type": "A", "data": 1}]', query, token)


def test_a_token_needs_a_condition(store: Store, stream: str) -> None:
    with store.refused("22023", argument="condition"):
        store.call("write_message", stream, "A", "1", decided_upon="0+")
    with store.refused("22023", argument="condition"):
        store.call("write_if", stream, '[{"type": "A", "data": 1}]', None, "0+")


@pytest.mark.parametrize("token", ["999999999+", "0+1,999999999", "8" * 19 + "+"])
def test_a_token_of_another_history_is_refused(store: Store, stream: str, token: str) -> None:
    with store.refused("MS006"):
        store.call(
            "write_message", stream, "A", "1", condition='[{"tags": ["a"]}]', decided_upon=token
        )


def test_a_token_may_have_the_highest_positions(
    empty: Store, stream: str, connect: Connect
) -> None:
    highest = 2**62 - 1
    empty.query(
        "SELECT STORE.import_messages(%s, '{1}', '{A}', ARRAY['1'::jsonb], NULL, %s, %s, %s)",
        [[f"{stream}-imported"], [uuid4()], [datetime(2020, 1, 1, tzinfo=UTC)], [highest]],
    )
    slow = connect(autocommit=False)
    query = '[{"tags": ["a"]}]'
    empty.call("write_message", f"{stream}-slow", "A", "1", on=slow)
    empty.call("write_message", stream, "A", "1", tags=["a"])
    *_, (*_, token) = empty.call("read_tagged", query)
    slow.rollback()
    assert token == f"{highest}+{highest + 2}"
    empty.call("write_message", stream, "A", "1", condition=query, decided_upon=token)


def test_a_token_names_no_position_that_was_rolled_back(
    store: Store, stream: str, connect: Connect
) -> None:
    """A crash of the server gives such a position again, to a message that may match."""
    conn = connect(autocommit=False)
    tag = f"course:{uuid4()}"
    ((_, position),) = store.call("write_message", stream, "A", "1", tags=[tag])
    store.call("write_message", stream, "A", "1", on=conn)
    conn.rollback()
    *_, (*_, token) = store.call("read_tagged", json.dumps([{"tags": [tag]}]))
    assert token == f"{position}+"


def test_a_message_is_read_once_in_global_order(store: Store, stream: str) -> None:
    a, b, c = (f"{name}:{uuid4()}" for name in "abc")
    for number, tags in enumerate([[a], [b], [a, b], [c], [a, b, c]]):
        store.call("write_message", f"{stream}-{number % 2}", "A", str(number), tags=tags)
    query = [{"tags": [b]}, {"tags": [a]}, {"tags": [c, a]}]
    *rows, last = store.call("read_tagged", json.dumps(query))
    assert [row[5] for row in rows] == [0, 1, 2, 4]
    assert [row[8] for row in rows] == [[a], [b], sorted([a, b]), sorted([a, b, c])]
    assert [row[9] for row in rows] == [None] * 4
    assert last[:9] == (None,) * 9
    *rows, _ = store.call("read_tagged", json.dumps(query), rows[1][3])
    assert [row[5] for row in rows] == [2, 4]


def test_deleted_messages_are_no_matches(store: Store, stream: str) -> None:
    tags = [f"{name}:{uuid4()}" for name in "ab"]
    query = json.dumps([{"tags": tags[1:]}])
    for number in range(4):
        store.call("write_message", stream, "A", str(number), tags=tags)
    store.call("truncate_stream", stream, 3)
    assert [row[5] for row in store.call("read_tagged", query)] == [2, 3, None]
    store.call("delete_stream", stream)
    assert [row[5] for row in store.call("read_tagged", query)] == [None]
    assert (
        store.query(
            "SELECT FROM STORE.message_tags WHERE tag_key = STORE._tag_key(%s)", tags[:1]
        ).rowcount
        == 0
    )


def test_retention_and_empty_store_take_tags_away(empty: Store) -> None:
    for number in range(4):
        empty.call("write_message", "account-1", "A", str(number), tags=["a", f"b:{number}"])
    empty.call("set_retention", "account", max_count=1)
    empty.call("apply_retention")
    rows = empty.query("SELECT count(*) FROM STORE.message_tags").fetchall()
    assert rows == [(2,)]
    assert all(wrong == 0 for _, _, wrong, _ in empty.call("verify_store"))
    empty.call("empty_store", empty.name)
    assert empty.query("SELECT FROM STORE.message_tags").rowcount == 0


def test_verify_finds_tags_that_lead_nowhere_and_messages_that_no_tag_leads_to(
    empty: Store,
) -> None:
    empty.call("write_message", "account-1", "A", "1", tags=["a", "b"])
    empty.query("DELETE FROM STORE.message_tags WHERE tag_key = STORE._tag_key('a')")
    empty.query("INSERT INTO STORE.message_tags VALUES (1, 7)")
    wrong = {row[0]: row[2] for row in empty.call("verify_store") if row[2]}
    assert wrong == {"tags lead to their messages": 2}


def many(store: Store, stream: str, tag: str, count: int) -> None:
    """Write so many messages with a tag."""
    store.query(
        "SELECT * FROM STORE.write_arrays(%s, array_fill('A'::text, %s), array_fill(jsonb '1', %s),"
        " tags => array_fill(to_jsonb(%s::text[]), %s))",
        [stream, [count], [count], [tag], [count]],
    )


def test_a_token_of_many_positions_is_looked_through_once(
    store: Store, stream: str, connect: Connect
) -> None:
    """As a transaction that stays open makes them. Message by message, it takes 20 seconds."""
    tag = f"course:{uuid4()}"
    query = json.dumps([{"tags": [tag]}])
    open_for_long = connect(autocommit=False)
    store.write(f"{stream}-open", on=open_for_long)
    many(store, stream, tag, 20_000)
    *found, (*_, token) = store.call("read_tagged", query)
    assert len(found) == 20_000
    assert token.count(",") == 20_000 - 1
    store.query("SET statement_timeout = '5s'")
    try:
        store.call(
            "write_message", stream, "A", "1", tags=[tag], condition=query, decided_upon=token
        )
        with store.refused("MS009", version=20_001):
            store.call("write_message", stream, "A", "1", condition=query, decided_upon=token)
    finally:
        store.query("RESET statement_timeout")


def test_a_refusal_reads_one_match_of_each_item(store: Store, stream: str) -> None:
    """Besides one entry, which tells that there is any. Meanwhile the tags are locked."""
    tag = f"course:{uuid4()}"
    many(store, stream, tag, 1000)
    entries = "message_tags_tag_key_global_position_pkey"
    reads = f"SELECT pg_stat_get_xact_tuples_returned('STORE.{entries}'::regclass)"
    with store.conn.transaction():
        # As its callers.
        store.query("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        ((before,),) = store.query(reads)
        query = json.dumps([{"tags": [tag, tag]}, {"tags": ["nothing"]}, {"tags": [tag]}])
        ((position,),) = store.query("SELECT STORE._meet_condition(NULL, %s, '0+')", [query])
        ((after,),) = store.query(reads)
    assert store.call("read_tagged", query)[0][3] == position
    assert after - before == 3


def test_a_match_that_is_deleted_meanwhile_is_no_refusal_without_a_message(store: Store) -> None:
    with store.refused("40001"):
        store.call("_refuse_condition", 10**15)


def test_a_reading_after_a_position_above_the_safe_one_knows_what_it_leaves_out(
    store: Store, stream: str, connect: Connect
) -> None:
    tag = f"course:{uuid4()}"
    query = json.dumps([{"tags": [tag]}])
    open_for_long = connect(autocommit=False)
    store.write(f"{stream}-open", on=open_for_long)
    ((_, position),) = store.call("write_message", stream, "A", "1", tags=[tag])
    ((*_, token),) = store.call("read_tagged", query, position)
    assert token.endswith(f"+{position}")
    store.call("write_message", stream, "A", "1", condition=query, decided_upon=token)
