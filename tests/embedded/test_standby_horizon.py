"""Reads across streams on a standby, up to the horizon that its primary publishes."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pgstore import StandbyBehindError, StandbyError, install
from pgstore.embedded import Server
from tests.sql.store import Connection, Store
from tests.standbys import pair, standby_of, until

REPEATABLE = "REPEATABLE READ"
SETTINGS = {"max_prepared_transactions": "5"}


class Pair:
    """A store as its primary and its standby show it."""

    def __init__(self, primary: Store, standby: Store) -> None:
        self.primary = primary
        self.standby = standby

    def publish(self) -> int:
        ((position, *_),) = self.primary.call("publish_horizon")
        return int(position)

    def caught_up(self) -> None:
        """Wait until the standby has replayed all that the primary has committed."""
        ((end,),) = self.primary.query("SELECT pg_current_wal_insert_lsn()")
        until(
            lambda: (
                self.standby.query("SELECT pg_last_wal_replay_lsn() >= %s", [end]).fetchone()
                == (True,)
            )
        )

    def read(self, *given: object, on: Connection | None = None) -> list[int]:
        return [row[3] for row in self.standby.call("read_all", *given, on=on)]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with pair(**SETTINGS) as both:
        yield both


@pytest.fixture
def both(servers: tuple[Server, Server], request: Any) -> Iterator[Pair]:
    """A store of the test's own on both."""
    name = f"store_{time.monotonic_ns()}"
    primary, standby = servers
    install(primary.conninfo, store=name)
    with (
        psycopg.connect(primary.conninfo, autocommit=True) as writing,
        psycopg.connect(standby.conninfo, autocommit=True) as reading,
    ):
        found = Pair(Store(writing, name), Store(reading, name))
        found.caught_up()
        yield found
        writing.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def other(store: Store, isolation: str = "") -> Connection:
    conn = psycopg.connect(store.conn.info.dsn)
    if isolation:
        conn.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
    return conn


READS = (
    "SELECT global_position FROM STORE.read_all()",
    "SELECT global_position FROM STORE.read_category('account')",
    "SELECT global_position FROM STORE.read_page() WHERE message_id IS NOT NULL",
    "SELECT global_position FROM STORE.read_matching('{}') WHERE message_id IS NOT NULL",
    "SELECT (m ->> 'global_position')::bigint"
    " FROM json_array_elements(STORE.read_page_json() -> 'messages') AS m",
    "SELECT (m ->> 'global_position')::bigint"
    " FROM json_array_elements(STORE.read_matching_json('{}') -> 'messages') AS m",
)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("isolation", ["READ COMMITTED", REPEATABLE])
def test_reads_stop_at_the_published_horizon(both: Pair, read: str, isolation: str) -> None:
    store = both.primary
    with other(store) as writer:
        _, first = store.write("account-1", type="A", data="{}", metadata="{}")
        store.write("account-2", type="A", data="{}", metadata="{}", on=writer)
        store.write("account-3", type="A", data="{}", metadata="{}")
        assert both.publish() == first
        both.caught_up()
        with other(both.standby, isolation) as conn:
            assert both.standby.query(read, on=conn).fetchall() == [(first,)]
    both.caught_up()  # not published: the standby has the messages, and does not know that
    assert both.standby.query(read).fetchall() == [(first,)]
    last = both.publish()
    both.caught_up()
    with other(both.standby, isolation) as conn:
        found = both.standby.query(read, on=conn).fetchall()
    assert found == [(position,) for position in range(first, last + 1)]


def test_a_snapshot_sees_the_horizon_that_was_published_before(both: Pair) -> None:
    _, first = both.primary.write("account-1")
    both.publish()
    both.caught_up()
    with other(both.standby, REPEATABLE) as conn:
        assert both.read(on=conn) == [first]
        both.primary.write("account-1")
        last = both.publish()
        both.caught_up()
        assert both.read(on=conn) == [first]
        assert both.standby.call("safe_position", on=conn) == [(first,)]
    assert both.standby.call("safe_position") == [(last,)]


def test_nothing_published_says_how_to_publish(both: Pair) -> None:
    both.primary.write("account-1")
    both.caught_up()
    with pytest.raises(StandbyError) as caught:
        both.read()
    assert "pgstore publish" in (caught.value.diag.message_hint or "")
    assert both.standby.call("horizon_age") == [(None,)]
    columns = "SELECT safe_position, in_flight FROM STORE.store_statistics()"
    assert both.standby.query(columns).fetchall() == [(None, None)]


def test_horizon_of_a_standby(both: Pair) -> None:
    _, last = both.primary.write("account-1")
    both.publish()
    both.caught_up()
    assert both.standby.call("horizon") == [(last, None)]
    assert both.standby.call("horizon_age")[0][0].total_seconds() < 60
    columns = "SELECT safe_position, in_flight, last_position FROM STORE.store_statistics()"
    assert both.standby.query(columns).fetchall() == [(last, None, last)]
    moment = "2000-01-01"
    assert both.standby.call("position_before", moment) == [(0,)]


def test_position_that_is_not_there_yet_is_no_other_history(both: Pair) -> None:
    _, first = both.primary.write("account-1")
    both.publish()
    _, last = both.primary.write("account-1")
    both.caught_up()
    for function in ("read_all", "read_page", "read_page_json", "read_matching"):
        named = {"metadata_filter": None} if function == "read_matching" else {}
        with pytest.raises(StandbyBehindError) as caught:
            both.standby.call(function, after_position=last, **named)
        assert (caught.value.position, caught.value.safe_position) == (last, first)
    both.publish()
    both.caught_up()
    assert both.read(last) == []


def test_health_on_a_standby_warns_of_a_horizon_that_is_missing_or_old(both: Pair) -> None:
    check = "SELECT status FROM STORE.health() WHERE name = 'published_horizon'"
    assert both.standby.query(check).fetchall() == [("warn",)]
    both.publish()
    both.caught_up()
    assert both.standby.query(check).fetchall() == [("ok",)]
    both.primary.query("UPDATE STORE.store_horizon SET published_at = now() - interval '1 minute'")
    both.caught_up()
    assert both.standby.query(check).fetchall() == [("warn",)]


def test_a_standby_publishes_nothing(both: Pair) -> None:
    with both.standby.refused("25006", standby=True):
        both.standby.call("publish_horizon")


def test_a_decision_can_be_read_on_a_standby(both: Pair) -> None:
    store = both.primary
    _, first = store.write("account-1", type="A", data="{}", tags=["a"])
    both.publish()
    _, above = store.write("account-2", type="A", data="{}", tags=["a"])
    both.caught_up()
    query = '[{"tags": ["a"]}]'
    *found, last = both.standby.call("read_tagged", query)
    assert [row[3] for row in found] == [first, above]
    token = last[-1]
    assert token == f"{first}+{above}"
    message = '[{"type": "A", "data": 1, "tags": ["a"]}]'
    ((_, written),) = store.call("write_if", "account-3", message, query, token)
    with store.refused("MS009", global_position=written):
        store.call("write_if", "account-3", message, query, token)


def test_prepared_transaction_holds_what_is_published(both: Pair) -> None:
    conn = other(both.primary)
    conn.execute("SET LOCAL pgstore.notify = off")
    _, prepared = both.primary.write("account-1", on=conn)
    conn.execute("PREPARE TRANSACTION 'here'")
    conn.commit()
    both.primary.write("account-2")
    assert both.publish() < prepared
    both.caught_up()
    assert both.read() == []
    both.primary.query("COMMIT PREPARED 'here'")
    last = both.publish()
    both.caught_up()
    assert both.read() == [prepared, last]
    conn.close()


@pytest.mark.parametrize("commit", ["off", "local", "on"])
def test_a_promoted_standby_gives_no_published_position_again(
    servers: tuple[Server, Server], commit: str
) -> None:
    """Also not those that were drawn and rolled back, which nothing has flushed."""
    primary, _ = servers
    name = f"promoted_{commit}"
    install(primary.conninfo, store=name)
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        store = Store(conn, name)
        with standby_of(primary, **SETTINGS) as standby:
            with psycopg.connect(primary.conninfo) as writer:
                for _ in range(100):
                    store.write("account-1", on=writer)
                writer.rollback()
            conn.execute(f"SET synchronous_commit = {commit}".encode())
            ((position, *_),) = store.call("publish_horizon")
            assert position == 100
            with psycopg.connect(standby.conninfo, autocommit=True) as there:
                promoted = Store(there, name)
                until(
                    lambda: (
                        promoted.query(
                            "SELECT FROM STORE.store_horizon WHERE safe_position = 100"
                        ).rowcount
                    )
                )
                there.execute("SELECT pg_promote()")
                assert promoted.write("account-1")[1] > position
                assert promoted.call("publish_horizon")[0][0] > position
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
