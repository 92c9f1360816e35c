"""A store moves to a server with a standby, which takes over meanwhile."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore.embedded import Server
from pgstore.transfer import Move, MoveError
from tests.embedded.moving import SETTINGS, STORE, do, rows
from tests.standbys import pair, until


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with Server(settings=SETTINGS) as server:
        pgstore.install(server.conninfo, store=STORE)
        rows(server.conninfo, "SELECT bank.write_message('note-1', 'Noted', '{}')")
        yield server.conninfo


def test_move_continues_at_the_standby_that_has_taken_over(source: str) -> None:
    """For kills under load, see `python -m tests.faults move-failover --rounds 9`."""
    with pair(**SETTINGS) as (target, standby):
        do(target.conninfo, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        do(target.conninfo, "SELECT pg_reload_conf()")
        until(lambda: rows(target.conninfo, "SHOW synchronous_standby_names") == [("*",)])
        hosts = [
            str(psycopg.conninfo.conninfo_to_dict(each.conninfo)["host"])
            for each in (target, standby)
        ]
        both = make_conninfo(
            target.conninfo,
            host=",".join(hosts),
            port="5432,5432",
            target_session_attrs="read-write",
        )

        def told(step: str, detail: str) -> None:
            if step == "drain":
                target.stop()

        with (
            Move(source, both, store=STORE, progress=told) as found,
            pytest.raises((psycopg.OperationalError, MoveError)),
        ):
            found.run()
        rows(source, "SELECT bank.write_message('note-1', 'Noted', '{}')")
        do(standby.conninfo, "SELECT pg_promote()")
        do(standby.conninfo, "ALTER SYSTEM RESET synchronous_standby_names")
        do(standby.conninfo, "SELECT pg_reload_conf()")
        with Move(source, both, store=STORE) as found:
            found.run()
        assert rows(standby.conninfo, "SELECT count(*) FROM bank.messages") == [(2,)]
