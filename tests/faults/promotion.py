"""A synchronous standby takes over behind a connection string that names both servers."""

import random
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from tests.faults.counts import Counts, Rounds
from tests.faults.racing import Racing
from tests.faults.servers import Durable, temporary_folder
from tests.faults.traffic import Traffic
from tests.standbys import base_backup

_PATIENCE = 30.0


def promotion(_server: Durable, rounds: Rounds) -> Counts:
    """Kill the primary and promote its synchronous standby, to and fro."""
    return to_and_fro(rounds, "promotion", _by_hosts(Traffic), Durable.crash)


def promotion_stopped(_server: Durable, rounds: Rounds) -> Counts:
    """Shut the primary down, as for maintenance, and promote its synchronous standby."""
    return to_and_fro(rounds, "promotion_stopped", _by_hosts(Traffic), Durable.stop)


def promotion_beside(_server: Durable, rounds: Rounds) -> Counts:
    """Make the primary read-only, and promote its synchronous standby beside it."""
    return to_and_fro(rounds, "promotion_beside", _by_hosts(Traffic), fence)


def promotion_racers(_server: Durable, rounds: Rounds) -> Counts:
    """Kill the primary under racers, and promote its synchronous standby, to and fro."""
    return to_and_fro(rounds, "promotion_racers", _by_hosts(Racing), Durable.crash)


# What runs on a primary and its standby, by the name of a store.
Begin = Callable[[Durable, Durable, str], AbstractContextManager[Traffic | Racing]]


def _by_hosts(programs: type[Traffic | Racing]) -> Begin:
    return lambda primary, standby, name: programs(either(primary, standby), name)


def to_and_fro(
    rounds: Rounds,
    name: str,
    begin: Begin,
    take_away: Callable[[Durable], None],
    lead_to: Callable[[Durable], None] = lambda _: None,
) -> Counts:
    """Take the primary away and promote its standby, again and again, under what is begun."""
    with temporary_folder() as folder, Durable(folder / "a") as primary:
        standby = Durable(folder / "b")
        make_standby(primary, standby)
        try:
            with begin(primary, standby, name) as running:
                for _ in rounds:
                    running.wait_until_back()
                    time.sleep(random.uniform(0.1, 0.8))
                    take_away(primary)
                    promote(standby, name)
                    lead_to(standby)
                    running.wait_until_back()
                    primary.stop()  # if that was not it
                    primary, standby = standby, primary
                    shutil.rmtree(standby.folder)
                    make_standby(primary, standby)
                running.wait_until_back()
                counts = running.finish()
            # A server that is killed cuts short the waits of commits for the standby, and for an
            # instant its other sessions see what was committed so. No writer was told of it.
            counts.noted["messages seen on the lost server only"] = counts.vanished
            counts.vanished = 0
            return counts
        finally:
            standby.stop()
            primary.stop()


def fence(primary: Durable) -> None:
    """Let no writer in any more, and wait until those that are in have ended."""
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        conn.execute("SELECT pg_reload_conf()")
        _wait_elsewhere(primary, "SHOW default_transaction_read_only", "on")
        # A session that has not looked at its settings since can begin one more transaction.
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
        wait_for(
            conn,
            "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'transactionid'"
            " AND pid <> pg_backend_pid()",
        )


def either(primary: Durable, standby: Durable) -> str:
    """A connection string that names both, and leads to the primary."""
    hosts = [str(conninfo_to_dict(each.conninfo)["host"]) for each in (primary, standby)]
    return make_conninfo(
        primary.conninfo, host=",".join(hosts), port="5432,5432", target_session_attrs="read-write"
    )


def make_standby(primary: Durable, standby: Durable, *, synchronous: bool = True) -> None:
    """Copy the primary, start the copy, and have writers wait for it from now on if synchronous."""
    standby.folder.mkdir(mode=0o711)
    base_backup(primary, standby.folder, "--write-recovery-conf")
    standby.start()
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        if synchronous:
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            conn.execute("SELECT pg_reload_conf()")
        state = "sync" if synchronous else "async"
        wait_for(conn, f"SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = '{state}'")


def promote(standby: Durable, store: str) -> None:
    """Promote it, and let writers in when no position of the lost server can be given again."""
    with psycopg.connect(
        standby.conninfo, autocommit=True, options="-c default_transaction_read_only=off"
    ) as conn:
        conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        # It was copied when nobody waited for it; nobody shall, until there is another.
        conn.execute("ALTER SYSTEM RESET synchronous_standby_names")
        conn.execute("SELECT pg_reload_conf()")
        _wait_elsewhere(standby, "SHOW default_transaction_read_only", "on")
        wait_for(conn, "SELECT pg_promote(false) OR NOT pg_is_in_recovery()")
        wait_for(conn, "SELECT NOT pg_is_in_recovery()")
        conn.execute(f"SELECT {store}.skip_positions(1000)".encode())
        conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
        conn.execute("SELECT pg_reload_conf()")


def _wait_elsewhere(server: Durable, question: str, answer: str) -> None:
    """Wait until a new session sees a setting."""
    end = time.monotonic() + _PATIENCE
    while True:
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            if conn.execute(question.encode()).fetchone() == (answer,):
                return
        assert time.monotonic() < end, question
        time.sleep(0.02)


def wait_for(conn: psycopg.Connection[TupleRow], condition: str) -> None:
    end = time.monotonic() + _PATIENCE
    while conn.execute(condition.encode()).fetchone() != (True,):
        assert time.monotonic() < end, condition
        time.sleep(0.02)
