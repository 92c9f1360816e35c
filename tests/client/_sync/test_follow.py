# Generated from tests/client/_async/test_follow.py by `python tools/unasync.py`.

"""Following messages as they come."""

import time
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from pgstore import Follower, MessageStore, UnknownMessageTypeError
from pgstore._core.statements import FALL_ASLEEP
from tests.client._sync.conftest import OpenStore
from tests.client.messages import EventA, EventB
from tests.client.parallel import Parallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = MessageStore[Any]


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
def watched(open_store: OpenStore, conninfo: str, watch: Watch) -> Store:
    """A store whose sessions the test can find."""
    return open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))


def collect(follower: Follower[Any], seen: list[int]) -> None:
    for stored in follower:
        seen.append(stored.message.num)  # noqa: PERF401 - one by one, for who looks meanwhile


@pytest.mark.alone
def test_follow_catches_up_and_goes_on_live(watched: Store, watch: Watch, category: str) -> None:
    watched.write_many(f"{category}-1", [EventA(0), EventA(1)])
    follower = watched.follow(category=category)
    seen: list[int] = []
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, seen))
        for number in range(2, 6):
            Parallel.until(watch.is_asleep)
            before = time.monotonic()
            position = watched.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: len(seen) > number)  # noqa: B023
            assert time.monotonic() - before < 0.9  # rung, not polled
        follower.stop()
        assert parallel.results() == [None]
    assert seen == list(range(6))
    assert follower.position == position.global_position


def test_follow_more_than_a_page(store: Store, long_stream: str) -> None:
    seen: list[int] = []
    collect(store.follow(category="long", timeout=0), seen)
    assert seen == list(range(1, 1151))


@pytest.mark.alone
def test_a_timeout_ends_it_and_it_can_go_on(store: Store, category: str) -> None:
    follower = store.follow(category=category, timeout=0.05)
    seen: list[int] = []
    before = time.monotonic()
    collect(follower, seen)
    assert 0.04 < time.monotonic() - before < 1
    store.write(f"{category}-1", EventA(1))
    collect(follower, seen)
    assert seen == [1]


@pytest.mark.alone
def test_stop_ends_one_that_waits_at_once(watched: Store, watch: Watch, category: str) -> None:
    follower = watched.follow(category=category)
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, []))
        Parallel.until(watch.is_asleep)
        before = time.monotonic()
        follower.stop()
        assert parallel.results() == [None]
        assert time.monotonic() - before < 0.3


def test_stop_drops_what_was_fetched(store: Store, category: str) -> None:
    store.write_many(f"{category}-1", [EventA(0), EventA(1)])
    follower = store.follow(category=category)
    seen = []
    for stored in follower:
        seen.append(stored.message.num)
        follower.stop()
    assert seen == [0]
    again = store.follow(category=category, after_position=follower.position, timeout=0)
    assert [stored.message.num for stored in again] == [1]


def test_the_end_of_its_block_ends_it(store: Store, category: str) -> None:
    store.write_many(f"{category}-1", [EventA(0), EventA(1)])
    with store.follow(category=category) as follower:
        assert next(follower).message == EventA(0)
    assert list(follower) == []


def test_what_filters_leave_out_is_looked_at_once(store: Store, category: str) -> None:
    store.write(f"{category}-1", EventA(1))
    last = store.write_many(f"{category}other-1", [EventB("x")] * 5)
    follower = store.follow(category=category, timeout=0)
    assert [stored.message.num for stored in follower] == [1]
    assert follower.position == last.global_position
    fetch, asked = follower._fetch, []

    def spy(position: int) -> Any:
        asked.append(position)
        return fetch(position)

    follower._fetch = spy
    found = store.write(f"{category}-1", EventA(2))
    beyond = store.write(f"{category}other-1", EventB("y"))
    assert next(follower).message == EventA(2)
    assert follower.position == found.global_position  # what it has not been asked beyond
    assert list(follower) == []
    assert asked == [last.global_position, beyond.global_position]


def test_what_is_in_flight_is_waited_for(
    store: Store, watched: Store, watch: Watch, category: str
) -> None:
    seen: list[int] = []
    with Parallel() as parallel:
        follower = watched.follow(category=category)
        with store.transaction() as conn:
            store.write(f"{category}-1", EventA(1), conn=conn)
            store.write(f"{category}-2", EventA(2))
            parallel.start(partial(collect, follower, seen))
            Parallel.until(lambda: watched._waker.counter.value == 2)  # it has looked
            assert seen == []
        Parallel.until(lambda: len(seen) == 2)
        follower.stop()
        parallel.results()
    assert seen == [1, 2]


@pytest.mark.alone
def test_a_ring_that_comes_before_its_message_does(
    store: Store, watched: Store, watch: Watch, category: str
) -> None:
    # As when the notification is read between a writer's commit and the end of its mark.
    follower, name = watched.follow(category=category), watched._database.source.name
    seen: list[int] = []
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, seen))
        Parallel.until(watch.is_asleep)
        before = watched._waker.counter.value
        with store.transaction() as conn:
            # A writer that has announced itself rings no more.
            conn.execute(
                f"SELECT pg_current_xact_id(), set_config({name}._mark_setting(),"
                f" {name}.last_position()::text, true)"
            )
            store.write(f"{category}-1", EventA(1), conn=conn)
            with store.transaction() as other:
                other.execute(f"SELECT pg_notify({name}.wake_channel(), '')")
            Parallel.until(lambda: watched._waker.counter.value > before)
            time.sleep(0.05)
            assert seen == []
        start = time.monotonic()
        Parallel.until(lambda: seen == [1])
        assert time.monotonic() - start < 0.9
        follower.stop()
        parallel.results()


@pytest.mark.alone
def test_a_safe_position_that_went_back_is_waited_for(
    store: Store, watched: Store, watch: Watch, category: str, connect: Connect
) -> None:
    first, name = watched.follow(category=category), watched._database.source.name
    seen: list[int] = []
    seen_late: list[int] = []
    with Parallel() as parallel:
        parallel.start(partial(collect, first, seen))
        before = store.write(f"{category}-1", EventA(1)).global_position - 1
        Parallel.until(lambda: seen == [1])
        Parallel.until(watch.is_asleep)
        # A writer that had read its bound before, and takes its mark only now.
        late = connect(autocommit=False)
        late.execute(f"SELECT {name}._take_mark({before})".encode())
        second = watched.follow(category=category, after_position=before)
        parallel.start(partial(collect, second, seen_late))
        time.sleep(0.1)
        assert seen_late == []
        late.rollback()
        start = time.monotonic()
        Parallel.until(lambda: seen_late == [1])
        assert time.monotonic() - start < 0.9
        for follower in (first, second):
            follower.stop()
        parallel.results()


@pytest.mark.alone
def test_messages_now_and_then_are_rung_for_without_a_new_sleep(
    watched: Store, watch: Watch, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a writer may hold its mark for some time after its notification.
    monkeypatch.setattr("pgstore._sync.waker._AFTER_YOU", 0.03)
    waker, count = watched._waker, 20
    follower = watched.follow(category=category)
    seen: list[int] = []
    asked: list[str] = []
    look = waker._look

    def spy(conn: Any, statement: str, *parameters: str) -> Any:
        asked.append(statement)
        return look(conn, statement, *parameters)

    monkeypatch.setattr(waker, "_look", spy)
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, seen))
        Parallel.until(watch.is_asleep)
        for number in range(count):
            watched.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: len(seen) > number)  # noqa: B023
            Parallel.until(watch.is_asleep)
        follower.stop()
        parallel.results()
    assert asked.count(FALL_ASLEEP) < count / 2


def test_nobody_rings_for_long_where_nobody_waits(
    store: Store, watched: Store, watch: Watch, category: str
) -> None:
    follower = watched.follow(category=category)
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, []))
        Parallel.until(watch.is_asleep)
        follower.stop()
        parallel.results()
        start = time.monotonic()
        while watch.is_asleep():
            store.write(f"{category}-1", EventA(1))
            time.sleep(0.05)
        assert time.monotonic() - start < 2


def test_rings_for_nothing_do_not_keep_it_busy(
    watched: Store, watch: Watch, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._sync.waker._AFTER_YOU", 0.1)
    waker = watched._waker
    asked: list[str] = []
    look = waker._look

    def spy(conn: Any, statement: str, *parameters: str) -> Any:
        asked.append(statement)
        return look(conn, statement, *parameters)

    def rung(conn: Any, *_: object) -> int:
        return 100

    # A reader that borrowed the connection would listen itself.
    monkeypatch.setattr(waker, "_is_one_borrower", lambda: False)
    follower = watched.follow(category=category)
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, []))
        Parallel.until(watch.is_asleep)
        monkeypatch.setattr(waker, "_look", spy)
        monkeypatch.setattr(waker, "_listen", rung)
        Parallel.until(lambda: len(asked) > 0)
        start = time.monotonic()
        Parallel.until(lambda: len(asked) > 9)  # three a turn
        assert time.monotonic() - start > 0.2
        follower.stop()
        parallel.results()


def test_a_connection_that_had_worked_is_made_again_at_once(
    watched: Store,
    watch: Watch,
    category: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pgstore._sync.waker.PACE", 60.0)
    monkeypatch.setattr("pgstore._sync.waker._WORKED", -60.0)
    follower = watched.follow(category=category)
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, []))
        for _ in range(3):
            Parallel.until(watch.is_asleep)
            watch.kill()
        Parallel.until(watch.is_asleep)
        follower.stop()
        parallel.results()
    assert [each for each in caplog.records if each.name == "pgstore"] == []


def test_many_followers_share_one_listening_connection(
    watched: Store, watch: Watch, category: str
) -> None:
    followers = [watched.follow(category=category) for _ in range(4)]
    seen: list[int] = []
    with Parallel() as parallel:
        parallel.start(*(partial(collect, follower, seen) for follower in followers))
        Parallel.until(lambda: watched._waker._waiting == 4)
        Parallel.until(watch.is_asleep)
        assert watch.asleep() == 1
        watched.write(f"{category}-1", EventA(7))
        Parallel.until(lambda: seen == [7] * 4)
        Parallel.until(watch.is_asleep)
        assert watch.asleep() == 1
        for follower in followers:
            follower.stop()
        assert parallel.results() == [None] * 4


@pytest.mark.alone
def test_polling_needs_no_listening_connection(
    open_store: OpenStore, conninfo: str, watch: Watch, category: str
) -> None:
    address = make_conninfo(conninfo, application_name=watch.name)
    store = open_store(conninfo=address, wakeup="poll")
    follower = store.follow(category=category)
    seen: list[int] = []
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, seen))
        Parallel.until(lambda: store._waker._waiting == 1 and watch.count() > 1)
        store.write(f"{category}-1", EventA(1))
        Parallel.until(lambda: seen == [1])
        assert watch.asleep() == 0
        before = time.monotonic()
        store.close()
        assert time.monotonic() - before < 0.5
        assert parallel.results() == [None]


@pytest.mark.filterwarnings("error")
def test_a_killed_listening_connection_is_replaced_and_nothing_lost(
    watched: Store, store: Store, watch: Watch, category: str
) -> None:
    follower = watched.follow(category=category)
    seen: list[int] = []
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, seen))
        for number in range(3):
            Parallel.until(watch.is_asleep)
            assert watch.kill() > 0
            store.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: len(seen) > number)  # noqa: B023
        follower.stop()
        assert parallel.results() == [None]
    assert seen == [0, 1, 2]


def test_closing_the_store_ends_followers_and_leaves_nothing(
    watched: Store, watch: Watch, category: str
) -> None:
    waiting = watched.follow(category=category)
    with Parallel() as parallel:
        parallel.start(partial(collect, waiting, []))
        Parallel.until(watch.is_asleep)
        watched.close()
        assert parallel.results() == [None]
    watch.wait_until_gone()
    assert list(waiting) == []
    watched.close()
    watch.wait_until_gone()


def test_a_store_that_was_closed_can_follow_again(
    watched: Store, watch: Watch, category: str
) -> None:
    for number in range(2):
        seen: list[int] = []
        follower = watched.follow(after_position=watched.safe_position(), category=category)
        with Parallel() as parallel:
            parallel.start(partial(collect, follower, seen))
            Parallel.until(watch.is_asleep)
            watched.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: seen == [number])  # noqa: B023
            watched.close()
            assert parallel.results() == [None]
        watch.wait_until_gone()


def test_closing_is_quick_while_the_server_cannot_be_reached(
    watched: Store, watch: Watch, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = watched.follow(category=category)
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, []))
        Parallel.until(watch.is_asleep)
        monkeypatch.setattr("pgstore._sync.waker.PACE", 60.0)
        monkeypatch.setattr(watched._waker._source, "connection", watched._database.transaction)
        assert watch.kill() > 0
        before = time.monotonic()
        watched.close()
        assert parallel.results() == [None]
        assert time.monotonic() - before < 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_closed_while_one_fetches_is_not_opened_again(
    watched: Store, watch: Watch, category: str, when: str
) -> None:
    watched.write(f"{category}-1", EventA(1))
    follower = watched.follow(category=category)
    fetch = follower._fetch

    def closing(position: int) -> Any:
        if when == "before":
            watched.close()
            return fetch(position)
        rows = fetch(position)
        watched.close()
        return rows

    assert next(follower).message == EventA(1)
    follower._fetch = closing
    assert list(follower) == []
    assert (watched._database.source._pool, watched._waker._task) == (None, None)
    watch.wait_until_gone()
    assert watched.safe_position() > 0  # what begins now opens it
    assert list(follower) == []


def test_who_begins_to_wait_while_the_store_is_closed_starts_nothing(store: Store) -> None:
    waker = store._waker
    seen = waker.counter.value

    class Passed:
        """Whoever closes has had the lock just before."""

        def __enter__(self) -> None:
            waker.counter.advance()

        def __exit__(self, *_: object) -> None: ...

    waker._lock = Passed()  # type: ignore[assignment]
    assert waker.wait(seen, 5)
    assert waker._task is None


def test_an_error_that_is_not_of_the_closing_is_raised(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = store.follow(category=category, timeout=0)

    def broken(position: int) -> Any:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(follower, "_fetch", broken)
    with pytest.raises(psycopg.OperationalError):
        next(follower)


def test_what_is_wrong_for_the_waker_reaches_who_waits(
    connect: Connect, conninfo: str, schema: str
) -> None:
    store = MessageStore[EventA](conninfo, store=schema, messages=EventA)
    watch = Watch(connect(), "nobody")
    follower = store.follow()
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, []))
        Parallel.until(lambda: store._waker._waiting == 1)
        watch.drop(schema)
        store._waker.ring()
        (error,) = parallel.results()
    assert error.sqlstate in ("3F000", "42883", "42P01", "XX000")  # by what is still cached
    store.close()


def test_messages_before_one_that_cannot_be_decoded_are_given(
    open_store: OpenStore, store: Store, category: str
) -> None:
    store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    follower = open_store(EventA).follow(category=category, timeout=0)
    assert next(follower).message == EventA(1)
    for _ in range(2):  # it is not passed over
        with pytest.raises(UnknownMessageTypeError):
            next(follower)


def test_a_pool_of_the_callers(
    open_store: OpenStore, conninfo: str, watch: Watch, category: str
) -> None:
    address = make_conninfo(conninfo, application_name=watch.name)
    seen: list[int] = []
    with ConnectionPool(address, min_size=1, max_size=2, open=False) as pool:
        store = open_store(conninfo=pool)
        follower = store.follow(category=category)
        with Parallel() as parallel:
            parallel.start(partial(collect, follower, seen))
            Parallel.until(watch.is_asleep)
            store.write(f"{category}-1", EventA(1))
            Parallel.until(lambda: seen == [1])
            store.close()
            assert parallel.results() == [None]
        assert watch.asleep() == 0
        with pool.connection() as conn:
            assert not conn.autocommit
    watch.wait_until_gone()
