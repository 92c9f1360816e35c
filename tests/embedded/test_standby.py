"""What a streaming standby gives: streams, but nothing that depends on what is in flight."""

import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from pgstore import (
    MessageStore,
    Snapshots,
    StandbyError,
    StoreNotInstalledError,
    SubscriptionNotFoundError,
    install,
    transfer,
)
from pgstore.__main__ import main
from pgstore._core.translation import passes
from pgstore.embedded import Server
from tests.standbys import FAST, PATIENCE, standby_of, until


class Noted(msgspec.Struct):
    number: int


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    with Server(settings=FAST) as server:
        with MessageStore[Noted](server.conninfo, messages=Noted) as store:
            store.write("note-1", Noted(1), metadata={"correlation_id": "c"})
            store.write("note-1", Noted(2))
        yield server


@pytest.fixture(scope="module")
def standby(primary: Server) -> Iterator[Server]:
    with standby_of(primary) as server:
        yield server


@pytest.fixture
def store(standby: Server) -> Iterator[MessageStore[Noted]]:
    with MessageStore[Noted](standby.conninfo, messages=Noted) as store:
        yield store


def test_it_is_a_standby_that_follows_its_primary(
    primary: Server, standby: Server, store: MessageStore[Noted]
) -> None:
    with psycopg.connect(standby.conninfo) as conn:
        assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    with MessageStore[Noted](primary.conninfo, messages=Noted) as writing:
        version = writing.write("note-2", Noted(3)).version
    until(lambda: store.stream_version("note-2") >= version)


def test_streams_and_messages_by_id_can_be_read(store: MessageStore[Noted]) -> None:
    read = list(store.read("note-1"))
    assert [stored.message for stored in read] == [Noted(1), Noted(2)]
    assert store.stream_version("note-1") == 2
    assert store.last("note-1") == store.get(read[1].message_id) == read[1]
    assert list(store.read("note-1", backward=True, max_count=1)) == [read[1]]
    assert [each.version for each in store.positions("note-1")] == [1, 2]


def test_states_and_correlated_messages_can_be_read(store: MessageStore[Noted]) -> None:
    notes = store.decider(lambda state, message: message, Noted, initial=lambda: Noted(0))
    assert notes.load("note-1") == (Noted(2), 2)
    assert notes.decide("note-1", lambda state: None).version == 2
    assert [each.version for each in store.read_correlated("c")] == [1]
    assert store.check_messages() == []


def test_a_state_is_loaded_without_a_snapshot_and_without_a_warning(
    store: MessageStore[Noted], caplog: pytest.LogCaptureFixture
) -> None:
    rule = Snapshots("notes", every=1)
    notes = store.decider(
        lambda state, message: message, Noted, initial=lambda: Noted(0), snapshots=rule
    )
    with caplog.at_level("WARNING", "pgstore"):
        assert notes.load("note-1") == (Noted(2), 2)
    assert caplog.text == ""


def test_states_are_loaded_and_not_saved(
    store: MessageStore[Noted], caplog: pytest.LogCaptureFixture
) -> None:
    def add(state: Noted, message: Noted) -> Noted:
        return Noted(state.number + message.number)

    sums = store.decider(
        add, Noted, initial=lambda: Noted(0), snapshots=Snapshots("standby", every=1)
    )
    for _ in range(2):
        assert sums.load("note-1") == (Noted(3), 2)
    assert caplog.records == []


@pytest.mark.parametrize(
    "read",
    [
        lambda store: list(store.read_all()),
        lambda store: list(store.read_category("note")),
        lambda store: list(store.read_all(metadata={"a": 1})),
        lambda store: list(store.follow(timeout=0)),
        lambda store: store.safe_position(),
    ],
    ids=["read_all", "read_category", "metadata", "follow", "safe_position"],
)
def test_reading_across_streams_is_refused(
    store: MessageStore[Noted], read: Callable[[MessageStore[Noted]], Any]
) -> None:
    with pytest.raises(StandbyError) as caught:
        read(store)
    assert caught.value.sqlstate == "MS005"
    assert "primary" in (caught.value.diag.message_hint or "")


def test_a_role_that_may_monitor_sees_what_there_is(
    primary: Server, standby: Server, store: MessageStore[Noted]
) -> None:
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        conn.execute("CREATE ROLE watcher")
        conn.execute("SELECT pgstore.grant_access('watcher', 'monitor')")
        conn.execute("SELECT pgstore.write_message('note-4', 'Noted', '{\"number\": 4}')")
    until(lambda: store.stream_version("note-4") == 1)
    (last,) = (stored.global_position for stored in store.read("note-4"))
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        conn.execute("SET ROLE watcher")
        columns = "safe_position, in_flight, last_position"
        statistics = f"SELECT {columns} FROM pgstore.store_statistics()"
        assert conn.execute(statistics.encode()).fetchone() == (None, None, last)
        (found,) = conn.execute("SELECT count(*) FROM pgstore.health()").fetchone() or (0,)
        assert found > 10


def test_sql_refuses_it_too(standby: Server) -> None:
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        assert conn.execute("SELECT count(*) FROM pgstore.read_stream('note-1')").fetchone() == (2,)
        for across in ("read_all()", "read_category('note')", "horizon()", "safe_position()"):
            with pytest.raises(StandbyError):
                conn.execute(f"SELECT * FROM pgstore.{across}".encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.write("note-1", Noted(4)),
        lambda store: store.write_many("note-1", [Noted(4)]),
        lambda store: store.schedule("note-1", Noted(4), timedelta(0)),
        lambda store: store.cancel(UUID(int=1)),
        lambda store: store.deliver_scheduled(),
        lambda store: store.decider(lambda state, _: state, dict).decide(
            "note-1", lambda _: Noted(4)
        ),
        lambda store: store.subscription("notes", category="note").refilter(),
        lambda store: store.subscription("notes", category="note").pause(),
        lambda store: store.subscription("new", category="note").create(),
    ],
    ids=[
        "write",
        "write_many",
        "schedule",
        "cancel",
        "deliver",
        "decide",
        "refilter",
        "pause",
        "create",
    ],
)
def test_what_changes_something_says_that_this_is_a_standby(
    store: MessageStore[Noted], change: Callable[[MessageStore[Noted]], Any]
) -> None:
    with pytest.raises((psycopg.errors.ReadOnlySqlTransaction, StandbyError)) as caught:
        change(store)
    assert "standby" in "".join(traceback.format_exception_only(caught.value))


def test_subscriptions_can_be_looked_at(
    primary: Server, standby: Server, store: MessageStore[Noted]
) -> None:
    with MessageStore[Noted](primary.conninfo, messages=Noted) as writing:
        made = writing.subscription("notes", category="note")

        @made.handler
        def fail(message: Noted) -> None:
            raise ValueError(message.number)

        made.create()
        last = writing.write("note-3", Noted(3)).global_position
        until(lambda: store.stream_version("note-3") > 0)
        there = store.subscription("notes", category="note")
        (partition,) = there.partitions()
        assert (partition.state, partition.behind) == ("waiting", last)
        assert (there.position(), there.parked()) == (0, [])
        with pytest.raises(TimeoutError, match="nobody works on it"):
            there.wait_until(last, timeout=0.1)
        made.rewind(last)
        there.wait_until(last, timeout=PATIENCE)
    with pytest.raises(SubscriptionNotFoundError):
        store.subscription("none", category="note").position()


@pytest.mark.parametrize("create", [True, False])
def test_a_store_that_is_missing_is_not_found(standby: Server, create: bool) -> None:
    with (
        MessageStore[Noted](standby.conninfo, messages=Noted, store="shop", create=create) as store,
        pytest.raises(StoreNotInstalledError, match="install --store shop") as caught,
    ):
        store.stream_version("note-1")
    # A run waits for the primary then.
    assert (passes(caught.value), "primary" in str(caught.value)) == (create, create)


def test_installing_says_that_this_is_a_standby(standby: Server) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
        install(standby.conninfo, store="shop")
    assert caught.value.diag.message_primary == "this server is a standby"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("doctor", 1, "not known on a standby"),  # fsync is off
        ("stats", 0, "not known on a standby"),
        ("subscriptions", 0, ""),
        ("top --times 1", 0, "not known on a standby"),
        ("read note-1", 0, "Noted"),
        ("write note-1 Noted", 1, "standby"),
        ("pause notes", 1, "standby"),
        ("install --store shop", 1, "standby"),
        ("stats --store shop", 6, "there is no store"),
    ],
)
def test_commands_show_what_can_be_read(
    standby: Server,
    command: str,
    code: int,
    said: str,
    primary: Server,
    store: MessageStore[Noted],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with MessageStore[Noted](primary.conninfo, messages=Noted) as writing:
        made = writing.subscription("notes", category="note")
        made.create()
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        there = "SELECT count(*) FROM pgstore.list_subscriptions()"
        until(lambda: conn.execute(there).fetchone() == (1,))
    monkeypatch.setenv("PGSTORE_CONNINFO", standby.conninfo)
    monkeypatch.setenv("PGSTORE_STORE", "pgstore")
    assert main(command.split()) == code
    done = capsys.readouterr()
    assert said in (done.out + done.err)


def test_verify_checks_what_can_be_read(standby: Server) -> None:
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        checks = transfer.verify(conn)
    assert [check for check in checks if check.wrong] == []
    assert checks[0].checked >= 2
    assert (checks[-1].check, checks[-1].checked) == ("objects are as in a new store", 0)
