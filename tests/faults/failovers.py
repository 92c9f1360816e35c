"""Failovers that Patroni does, in a cluster of three nodes by the files that the docs show."""

import subprocess

from tests.faults.counts import Counts, Rounds
from tests.faults.servers import Durable
from tests.faults.traffic import Traffic
from tests.patroni.cluster import Cluster
from tests.patroni.packages import missing, newest

WAYS = (Cluster.crash, Cluster.switch_over, Cluster.vanish)


class NoPatroni(Exception):
    """Patroni needs Debian's packages: patroni, etcd-server, haproxy and postgresql."""


def debians_version(_server: Durable) -> str:
    """The version of the servers that Patroni runs."""
    said = subprocess.run(
        [newest() / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return said.stdout.split()[2]


def patroni(_server: Durable, rounds: Rounds) -> Counts:
    """Kill PostgreSQL, have Patroni switch over, or kill a node with its Patroni, in turn."""
    if missing():
        raise NoPatroni
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
