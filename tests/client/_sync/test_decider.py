# Generated from tests/client/_async/test_decider.py by `python tools/unasync.py`.

import copy
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import MessageStore, Snapshots
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client.messages import EventA, EventB

LONG = 2_500  # more than two pages


class Sum(msgspec.Struct, frozen=True):
    total: int = 0
    seen: int = 0


def evolve(state: Sum, message: EventA | EventB) -> Sum:
    num = message.num if isinstance(message, EventA) else len(message.text)
    return Sum(state.total + num, state.seen + 1)


class Required(msgspec.Struct):
    total: int


def endless(*given: object) -> Any:
    yield given


def add_one(state: Sum) -> EventA:
    return EventA(state.seen + 1)


def test_load_gives_the_state_and_the_version(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum)
    assert sums.load(stream) == (Sum(), 0)
    store.write_many(stream, [EventA(1), EventB("ab"), EventA(4)])
    state, version = sums.load(stream)
    assert (state, version) == (Sum(7, 3), 3)
    assert (sums.load(stream, at_version=2)) == (Sum(3, 2), 2)
    assert (sums.load(stream, at_version=0)) == (Sum(), 0)
    with pytest.raises(pgstore.InvalidArgumentError, match="version 3: it has no state at 4"):
        sums.load(stream, at_version=4)


def test_load_of_a_long_stream(store: MessageStore[Any], stream: str) -> None:
    store.write_many(stream, [EventA(1)] * LONG)
    assert store.decider(evolve, Sum).load(stream) == (Sum(LONG, LONG), LONG)
    assert (store.decider(evolve, Sum).load(stream, at_version=LONG - 1)).version == LONG - 1


def test_load_at_a_time(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum, cache=9)
    for num in (1, 2, 4):
        store.write(stream, EventA(num))
    sums.load(stream)
    times = [stored.added_at for stored in store.read(stream)]
    assert (sums.load(stream, at=times[1])) == (Sum(3, 2), 2)
    assert sums.load(stream, at=times[1] - timedelta(microseconds=1)).version == 1
    assert (sums.load(stream, at=datetime(2020, 1, 1, tzinfo=UTC))) == (Sum(), 0)
    with pytest.raises(pgstore.InvalidArgumentError, match="needs a zone"):
        sums.load(stream, at=datetime(2020, 1, 1))  # noqa: DTZ001
    assert sums.load(stream, at=times[1], at_version=1).version == 1
    assert sums.load(stream, at=times[1], at_version=9).version == 2


def test_initial_makes_the_state_of_an_empty_stream(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum, initial=lambda: Sum(100, 0))
    store.write(stream, EventA(1))
    assert sums.load(stream).state == Sum(101, 1)


def test_decide_writes_what_the_function_returns(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum)
    first = sums.decide(stream, add_one, metadata={"by": "me"})
    assert (first.state, first.version) == (Sum(1, 1), 1)
    assert first.position is not None
    assert (first.position.stream, first.position.version) == (stream, 1)
    assert (sums.decide(stream, lambda _: None)) == (Sum(1, 1), 1, None)
    assert sums.decide(stream, lambda _: []).version == 1
    last = sums.decide(stream, lambda state: [EventA(state.total), EventB("ab")])
    assert (last.state, last.version) == (Sum(4, 3), 3)
    stored = list(store.read(stream))
    assert [each.message for each in stored] == [EventA(1), EventA(1), EventB("ab")]
    assert stored[0].metadata == {"by": "me"}
    assert last.position is not None
    assert last.position.global_position == stored[-1].global_position


def test_error_of_the_function_is_raised_and_nothing_is_written(
    store: MessageStore[Any], stream: str
) -> None:
    def refuse(state: Sum) -> EventA:
        raise LookupError("not enough")

    with pytest.raises(LookupError, match="not enough"):
        store.decider(evolve, Sum).decide(stream, refuse)
    with pytest.raises(pgstore.InvalidArgumentError, match="int is not a message type"):
        store.decider(evolve, Sum).decide(stream, lambda _: 5)
    wrong: Any
    for wrong in (Sum(), {"num": 1}, "text"):
        decision = mock.Mock(return_value=wrong)
        with pytest.raises(pgstore.InvalidArgumentError, match=f"{type(wrong).__name__} is not a"):
            store.decider(evolve, Sum).decide(stream, decision)
    assert store.stream_version(stream) == 0


def test_message_that_no_state_can_be_made_of_is_not_written(
    store: MessageStore[Any], stream: str
) -> None:
    def refuse(state: Sum, message: EventA | EventB) -> Sum:
        if isinstance(message, EventB):
            raise NotImplementedError("EventB")
        return evolve(state, message)

    sums = store.decider(refuse, Sum)
    sums.decide(stream, add_one)
    with pytest.raises(NotImplementedError, match="EventB"):
        sums.decide(stream, lambda _: [EventA(1), EventB("ab")])
    assert sums.load(stream) == (Sum(1, 1), 1)


@pytest.mark.parametrize("cache", [0, 9])
def test_state_that_evolve_changes_in_place_is_right_after_a_conflict(
    store: MessageStore[Any], stream: str, cache: int
) -> None:
    def append(state: list[int], message: EventA) -> list[int]:
        state.append(message.num)
        return state

    numbers = store.decider(append, list[int], initial=list, cache=cache)
    numbers.decide(stream, lambda _: EventA(1))
    rivals, write = [EventA(2)], store.write_many

    def write_second(*args: Any, **options: Any) -> Any:
        if rivals:
            write(stream, [rivals.pop()])
        return write(*args, **options)

    with mock.patch.object(store, "write_many", write_second):
        decided = numbers.decide(stream, lambda state: EventA(10 * len(state)))
    assert (decided.state, decided.version) == ([1, 2, 20], 3)
    assert numbers.load(stream) == ([1, 2, 20], 3)


def test_conflict_decides_again_on_the_new_state(
    store: MessageStore[Any], conninfo: str, stream: str
) -> None:
    rival = pgstore.MessageStore[Any](conninfo, messages=EventA, store=store.name)
    seen: list[int] = []

    def decision(state: Sum) -> EventA:
        seen.append(state.seen)
        if len(seen) < 3:
            thread = threading.Thread(target=rival.write, args=[stream, EventA(10)])
            thread.start()
            thread.join()
        return EventA(1)

    with rival:
        assert (store.decider(evolve, Sum).decide(stream, decision)).state == Sum(21, 3)
        assert seen == [0, 1, 2]
        seen.clear()
        with pytest.raises(pgstore.OptimisticConcurrencyError):
            store.decider(evolve, Sum).decide(stream, decision, attempts=2)
        assert seen == [3, 4]
    assert store.stream_version(stream) == 5


def test_decide_in_a_transaction(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum, cache=9)
    other = f"{stream}x"
    with store.transaction() as conn:
        sums.decide(stream, add_one, conn=conn)
        assert sums.load(stream, conn=conn).version == 1
        assert sums.load(stream).version == 0
        sums.decide(other, add_one, conn=conn)
    assert sums.load(stream).version == sums.load(other).version == 1
    with suppress(ZeroDivisionError), store.transaction() as conn:
        sums.decide(stream, add_one, conn=conn)
        assert sums.load(stream, conn=conn).version // 0
    assert sums.load(stream) == (Sum(1, 1), 1)


def test_conflict_in_a_transaction_decides_again(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum, cache=9)
    other = f"{stream}-other"
    rivals = [EventA(10), EventA(20)]
    seen: list[int] = []

    with store.transaction() as conn:
        sums.decide(other, add_one, conn=conn)

        def decision(state: Sum) -> EventA:
            seen.append(state.seen)
            return EventA(1)

        write_many = store.write_many

        def late(*arguments: Any, **named: Any) -> Any:
            if rivals:
                store.write(arguments[0], rivals.pop())
            return write_many(*arguments, **named)

        with mock.patch.object(store, "write_many", late):
            decided = sums.decide(stream, decision, conn=conn)
            assert (decided.state, seen) == (Sum(31, 3), [0, 1, 2])
            rivals.append(EventA(40))
            with pytest.raises(pgstore.OptimisticConcurrencyError):
                sums.decide(f"{stream}-none", decision, attempts=1, conn=conn)
            sums.decide(other, add_one, conn=conn)
    assert sums.load(other).version == 2
    assert store.stream_version(f"{stream}-none") == 1
    assert store.stream_version(stream) == 3


def test_a_transaction_that_sees_an_old_state_is_to_be_run_again(
    store: MessageStore[Any], open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection(autocommit=False)
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    sums = store.decider(evolve, Sum)
    sums.load(stream, conn=conn)
    store.write(stream, EventA(1))
    decision = mock.Mock(side_effect=add_one)
    with pytest.raises(psycopg.errors.SerializationFailure):
        sums.decide(stream, decision, conn=conn)
    assert decision.call_count == 1


def test_decide_on_a_connection_in_autocommit_mode(
    store: MessageStore[Any], open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection(autocommit=True)
    store.decider(evolve, Sum).decide(stream, add_one, conn=conn)
    assert store.stream_version(stream) == 1


def saved(store: MessageStore[Any], stream: str) -> list[tuple[Any, ...]]:
    rows = store._database.rows(
        "SELECT n.code_version, n.version, n.state FROM STORE.snapshots AS n"
        " JOIN STORE.streams AS s USING (stream_id) WHERE s.stream = %s ORDER BY 1",
        (stream,),
    )
    return [tuple(row) for row in rows]


def test_snapshots_are_saved_and_read(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum, snapshots=Snapshots("sum", every=3))
    store.write_many(stream, [EventA(1), EventA(2)])
    sums.decide(stream, add_one)
    assert saved(store, stream) == []
    for _ in range(2):
        sums.decide(stream, add_one)
        assert saved(store, stream) == [(1, 3, {"Sum": {"total": 6, "seen": 3}})]

    calls = mock.Mock(side_effect=evolve)
    watched = store.decider(calls, Sum, snapshots=Snapshots("sum"))
    assert watched.load(stream) == (Sum(15, 5), 5)
    assert calls.call_count == 2
    assert watched.load(stream, at_version=2).state == Sum(3, 2)
    assert watched.load(stream, at_version=3).state == Sum(6, 3)

    calls.reset_mock()
    later = store.decider(calls, Sum, snapshots=Snapshots("sum", code_version=2, every=1))
    assert later.load(stream) == (Sum(15, 5), 5)
    assert calls.call_count == 5
    assert [row[:2] for row in saved(store, stream)] == [(1, 3), (2, 5)]


def test_a_rule_of_the_users_saves_snapshots(store: MessageStore[Any], stream: str) -> None:
    rule = Snapshots("ruled", every=lambda state, messages: state.total >= 3 and messages >= 1)
    sums = store.decider(evolve, Sum, snapshots=rule)
    for seen, expected in enumerate([[], [], [2], [3]]):
        assert sums.load(stream).version == seen
        assert [row[1] for row in saved(store, stream)] == expected
        store.write(stream, EventA(seen + 1))


@dataclass
class Empty:
    pass


@dataclass
class Full:
    amount: Decimal
    place: complex


def test_states_of_several_classes_are_saved(
    conninfo: str, open_store: OpenStore, stream: str
) -> None:
    def fill(state: Empty | Full, message: EventA) -> Empty | Full:
        return Full(Decimal(message.num), complex(message.num, 1))

    store = open_store(
        enc_hook=lambda value: [value.real, value.imag],
        dec_hook=lambda cls, value: cls(*value),
    )
    rule = Snapshots("box", every=1)
    boxes = store.decider(fill, Empty | Full, initial=Empty, snapshots=rule)
    assert boxes.load(stream).state == Empty()
    store.write(stream, EventA(7))
    assert boxes.load(stream).state == Full(Decimal(7), 7 + 1j)
    assert saved(store, stream) == [
        (1, 1, {"Full": {"amount": "7", "place": [7.0, 1.0]}}),
    ]
    unused = store.decider(mock.Mock(), Empty | Full, initial=Empty, snapshots=rule)
    assert unused.load(stream).state == Full(Decimal(7), 7 + 1j)


def test_snapshot_that_its_code_cannot_read_is_an_error(
    store: MessageStore[Any], stream: str
) -> None:
    """The class was changed, and its code_version was not."""
    rule = Snapshots("changed", every=1)
    store.write(stream, EventA(1))
    store.decider(evolve, Sum, snapshots=rule).load(stream)
    for wrong in (Empty, msgspec.defstruct("Sum", [("total", str, "")])):
        with pytest.raises(pgstore.PgstoreError) as caught:
            store.decider(mock.Mock(), wrong, snapshots=rule).load(stream)
        assert "code_version" in caught.value.__notes__[0]


def test_state_that_cannot_be_saved_is_refused_when_the_decider_is_made(
    store: MessageStore[Any],
) -> None:
    with pytest.raises(TypeError):
        store.decider(lambda state, _: state, int, snapshots=Snapshots("number"))


def test_failure_to_save_loses_nothing(
    conninfo: str,
    open_store: OpenStore,
    open_connection: OpenConnection,
    stream: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = open_store(conninfo=make_conninfo(conninfo, options="-c statement_timeout=200"))
    sums = store.decider(evolve, Sum, snapshots=Snapshots("unsaved", every=1))
    other = open_connection(autocommit=False)
    lock = sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(store.name, "snapshots"))
    other.execute(lock)
    sums.decide(stream, add_one)
    assert sums.decide(stream, add_one).version == 2
    assert "no snapshot of stream" in caplog.text
    other.rollback()
    assert sums.load(stream) == (Sum(3, 2), 2)
    assert [row[1] for row in saved(store, stream)] == [2]


def test_state_that_has_no_json_is_not_saved(
    store: MessageStore[Any], stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    def spoil(state: Sum, message: EventA) -> Sum:
        return Sum(float("nan"), state.seen + 1)  # type: ignore[arg-type]

    store.write(stream, EventA(1))
    sums = store.decider(spoil, Sum, snapshots=Snapshots("spoiled", every=1))
    assert sums.load(stream).version == 1
    assert "no snapshot of stream" in caplog.text
    assert saved(store, stream) == []


def test_stream_that_was_cut_off(store: MessageStore[Any], stream: str) -> None:
    sums = store.decider(evolve, Sum)
    kept = store.decider(evolve, Sum, snapshots=Snapshots("kept", every=2))
    store.write_many(stream, [EventA(1), EventA(2)])
    kept.load(stream)
    store.write(stream, EventA(3))
    store._database.rows("SELECT STORE.truncate_stream(%s, 3)", (stream,))
    with pytest.raises(pgstore.StreamCutOffError) as caught:
        sums.load(stream)
    assert (caught.value.stream, caught.value.floor) == (stream, 2)
    assert kept.load(stream) == (Sum(6, 3), 3)
    store._database.rows("SELECT STORE.delete_stream(%s)", (stream,))
    with pytest.raises(pgstore.StreamCutOffError):
        kept.decide(stream, add_one)


def test_cached_states_are_continued(store: MessageStore[Any], stream: str) -> None:
    calls = mock.Mock(side_effect=evolve)
    sums = store.decider(calls, Sum, cache=2)
    store.write(stream, EventA(1))
    sums.load(stream)
    store.write(stream, EventA(4))
    calls.reset_mock()
    assert sums.load(stream) == (Sum(5, 2), 2)
    assert calls.call_count == 1
    with store.transaction() as conn:
        assert sums.load(stream, conn=conn) == (Sum(5, 2), 2)
    assert calls.call_count == 1
    assert sums.load(stream, at_version=1).state == Sum(1, 1)
    calls.reset_mock()
    for n in range(2):  # two others: the first one is forgotten
        store.write(f"{stream}-{n}", EventA(1))
        sums.load(f"{stream}-{n}")
    calls.reset_mock()
    sums.load(stream)
    assert calls.call_count == 2


def test_cached_state_of_what_was_redacted_is_not_used(
    store: MessageStore[Any], stream: str
) -> None:
    sums = store.decider(evolve, Sum, cache=2)
    sums.decide(stream, add_one)
    sums.load(stream)
    last = store.last(stream)
    assert last is not None
    redact = "SELECT STORE.redact_message(%s::uuid, '{\"num\": 40}', 'asked for')"
    store._database.rows(redact, (str(last.message_id),))
    assert sums.load(stream).state == Sum(40, 1)


def test_cached_states_are_the_caches_own(store: MessageStore[Any], stream: str) -> None:
    def collect(state: list[int], message: EventA) -> list[int]:
        state.append(message.num)
        return state

    lists = store.decider(collect, list[int], initial=list, cache=2)
    lists.decide(stream, lambda _: EventA(1))
    lists.load(stream)
    first = lists.load(stream).state
    kept = copy.deepcopy(first)
    first.append(99)
    assert lists.load(stream).state == kept == [1]


def test_a_cache_has_no_state_of_what_was_rolled_back(
    store: MessageStore[Any], stream: str
) -> None:
    """Also not if another message has got the version since."""
    sums = store.decider(evolve, Sum, cache=2, snapshots=Snapshots("committed", every=1))
    sums.decide(stream, add_one)
    with suppress(ZeroDivisionError), store.transaction() as conn:
        sums.decide(stream, lambda _: EventA(100), conn=conn)
        assert sums.load(stream, conn=conn) == (Sum(101, 2), 2)
        raise ZeroDivisionError
    store.write(stream, EventA(5))
    assert sums.load(stream) == (Sum(6, 2), 2)
    assert [row[1:] for row in saved(store, stream)] == [
        (2, {"Sum": {"total": 6, "seen": 2}}),
    ]


def test_a_cached_state_of_another_history_is_not_used(
    store: MessageStore[Any], stream: str
) -> None:
    """After an asynchronous failover, version and position can be those of another message."""
    sums = store.decider(evolve, Sum, cache=2)
    store.write(stream, EventA(1))
    sums.load(stream)
    lost = (
        "UPDATE STORE.messages AS m SET message_id = gen_random_uuid(), data = '{\"num\": 9}'"
        " FROM STORE.streams AS s WHERE s.stream_id = m.stream_id AND s.stream = %s RETURNING 1"
    )
    store._database.rows(lost, (stream,))
    assert sums.load(stream) == (Sum(9, 1), 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 5},
        {"name": ""},
        {"name": "ä" * 128},
        {"name": "a\0"},
        {"name": "\ud800"},
        {"code_version": "1"},
        {"every": 0},
        {"every": "100"},
        {"every": lambda state: True},
    ],
)
def test_snapshots_are_refused_when_they_are_declared(wrong: dict[str, Any]) -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match=next(iter(wrong))):
        Snapshots(**{"name": "sum"} | wrong)


def test_what_a_decider_takes(store: MessageStore[Any], stream: str) -> None:
    wrong: list[dict[str, Any]] = [
        {"evolve": 5},
        {"evolve": None},
        {"evolve": lambda state: state},
        {"evolve": endless},
        {"initial": 5},
        {"initial": lambda stream: Sum()},
        {"initial": endless},
        {"snapshots": "sum"},
        {"cache": -1},
    ]
    for each in wrong:
        arguments: dict[str, Any] = {"evolve": evolve, "state": Sum} | each
        with pytest.raises(pgstore.InvalidArgumentError, match=next(iter(each))):
            store.decider(**arguments)
    for state in (Sum | Required, Required, None):  # what the state of an empty stream is
        with pytest.raises(pgstore.InvalidArgumentError, match="pass initial="):
            store.decider(evolve, state)  # type: ignore[arg-type]
    with pytest.raises(pgstore.InvalidArgumentError, match="at_version must be 0 or more"):
        store.decider(evolve, Sum).load(stream, at_version=-1)
    sums = store.decider(evolve, Sum)
    wrong_number: Any = 5
    for call in (
        lambda: sums.load(wrong_number),
        lambda: sums.decide(stream, wrong_number),
        lambda: sums.decide(stream, add_one, attempts=0),
    ):
        with pytest.raises(pgstore.InvalidArgumentError):
            call()
