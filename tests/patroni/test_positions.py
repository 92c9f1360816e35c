"""A failover by Patroni behind HAProxy that loses messages; asked for by PGSTORE_TEST_PATRONI."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

import pgstore
from pgstore import MessageNotFoundError
from tests.faults.programs import Kept
from tests.patroni.cluster import Cluster
from tests.patroni.packages import asked_for
from tests.skips import skip
from tests.stress.worker import open_store

_MANY = 50


@pytest.fixture
def losing() -> Iterator[Cluster]:
    """A cluster that may lose what the primary has not sent yet."""
    if not asked_for():
        skip("patroni")
    with Cluster.running(synchronous=False) as cluster:
        yield cluster


def test_no_position_of_a_lost_server_is_given_again(losing: Cluster) -> None:
    pgstore.install(losing.conninfo, store="bank")
    with open_store(losing.start_proxy(), "bank", Kept) as store:
        store.write("note-1", Kept(1, 1))
        leader = losing.wait_for_members()
        senders = _stop_sending(losing)
        lost = [store.write("note-1", Kept(1, number)) for number in range(2, _MANY)]
        losing.crash(leader)
        for process in senders:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        losing.wait_for_another(leader)
        new = store.write("note-1", Kept(2, 1))
        assert new.version == 2
        # A reader that had received the last message that is lost receives the new one,
        follower = store.follow(after_position=lost[-1].global_position)
        assert next(follower).message == Kept(2, 1)
        # and learns of the loss by the id.
        with pytest.raises(MessageNotFoundError):
            store.get(Kept(1, _MANY - 1).get_message_id())


def _stop_sending(cluster: Cluster) -> list[int]:
    """Stop the processes that send to the standbys."""
    with psycopg.connect(cluster.conninfo, autocommit=True) as conn:
        found = [pid for (pid,) in conn.execute("SELECT pid FROM pg_stat_replication")]
    for process in found:
        os.kill(process, signal.SIGSTOP)
    return found
