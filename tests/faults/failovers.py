"""Failovers that Patroni does, in a cluster of three nodes by the files that the docs show."""

import os

from tests.faults.counts import Counts, Rounds
from tests.faults.servers import Durable
from tests.faults.traffic import Traffic
from tests.patroni.cluster import Cluster
from tests.patroni.packages import missing

WAYS = (Cluster.crash, Cluster.switch_over, Cluster.vanish)


class NoPatroni(Exception):
    """Patroni is asked for by PGSTORE_TEST_PATRONI=1, and needs Debian's packages."""


def check_patroni() -> None:
    """Raise unless Patroni is asked for and here."""
    if not os.environ.get("PGSTORE_TEST_PATRONI") or missing():
        raise NoPatroni


def patroni(_server: Durable, rounds: Rounds) -> Counts:
    """Kill PostgreSQL, have Patroni switch over, or kill a node with its Patroni, in turn."""
    check_patroni()
    longest = 0.0
    with Cluster.running() as cluster, Traffic(cluster.conninfo, "patroni") as traffic:
        for number in rounds:
            traffic.wait_until_back()
            leader = cluster.wait_for_members()
            fail = WAYS[number % len(WAYS)]
            fail(cluster, leader)
            longest = max(longest, cluster.wait_for_another(leader))
            traffic.wait_until_back()
            if fail is Cluster.vanish:
                cluster.start_node(leader)
        cluster.wait_for_members()
        traffic.wait_until_back()
        counts = traffic.finish()
    counts.noted["seconds of the longest failover"] = round(longest)
    counts.noted["messages seen on a lost server only"] = counts.vanished
    counts.vanished = 0
    return counts
