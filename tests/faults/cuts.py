"""Connections are cut, by the server and on the way; and the server is read-only for a while."""

import random
import time
from typing import LiteralString

import psycopg

from tests.client.proxy import Proxy
from tests.faults.counts import Counts, Rounds
from tests.faults.racing import OWN, Racing
from tests.faults.servers import Durable
from tests.faults.traffic import Traffic

_PATIENCE = 30.0

_TERMINATE = """
SELECT count(pg_terminate_backend(a.pid))
FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND random() < 0.5
"""


def terminated(server: Durable, rounds: Rounds) -> Counts:
    """Terminate half of all sessions, again and again."""
    return _terminated(server, rounds, Traffic(server.conninfo, "terminated"))


def terminated_racers(server: Durable, rounds: Rounds) -> Counts:
    """Terminate half of all sessions of racers for the last places of rules, again and again."""
    return _terminated(server, rounds, Racing(server.conninfo, "terminated_racers"))


def _terminated(server: Durable, rounds: Rounds, programs: Traffic | Racing) -> Counts:
    with programs:
        ended = 0
        for _ in rounds:
            programs.wait_until_back()
            time.sleep(random.uniform(0.0, 0.2))
            with psycopg.connect(server.conninfo, autocommit=True) as conn:
                ((count,),) = conn.execute(_TERMINATE)
            ended += count
        programs.wait_until_back()
        programs.counts.noted["sessions terminated"] = ended
        return programs.finish()


def lost_answers(server: Durable, rounds: Rounds) -> Counts:
    """Cut the connection after the server has answered a write, or a handler's COMMIT."""
    with Proxy.running(server.conninfo) as proxy:
        programs = Traffic(proxy.conninfo, "lost_answers", direct=server.conninfo)
        return _lost_answers(proxy, rounds, programs, b'"writer":')


def lost_answers_of_racers(server: Durable, rounds: Rounds) -> Counts:
    """Cut the connection after the answer to a write on a condition, or to its COMMIT."""
    with Proxy.running(server.conninfo) as proxy:
        programs = Racing(proxy.conninfo, "lost_answers_of_racers", direct=server.conninfo)
        return _lost_answers(proxy, rounds, programs, OWN.encode())


def _lost_answers(proxy: Proxy, rounds: Rounds, programs: Traffic | Racing, write: bytes) -> Counts:
    with programs:
        for number in rounds:
            programs.wait_until_back()
            before = proxy.lost
            proxy.lose_answer_to((write, b"COMMIT")[number % 2])
            end = time.monotonic() + _PATIENCE
            while proxy.lost == before:
                assert time.monotonic() < end, "no such request came"
                time.sleep(0.005)
        programs.wait_until_back()
        programs.counts.noted["answers lost"] = proxy.lost
        return programs.finish()


def read_only(server: Durable, rounds: Rounds) -> Counts:
    """Have the server refuse all writes (`25006`) for up to two seconds, as after a failover."""
    with Traffic(server.conninfo, "read_only") as traffic:
        for _ in rounds:
            traffic.wait_until_back()
            time.sleep(random.uniform(0.1, 0.3))
            _set_read_only(server, "on")
            time.sleep(random.uniform(0.2, 2.0))
            _set_read_only(server, "off")
        traffic.wait_until_back()
        traffic.counts.noted["writes refused"] = sum(each.errors for each in traffic.writers)
        return traffic.finish()


def _set_read_only(server: Durable, value: LiteralString) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        conn.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        conn.execute("SELECT pg_reload_conf()")
