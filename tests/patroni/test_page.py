"""The page on high availability names what Debian's packages read, and what they accept."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.patroni.cluster import HERE, Cluster
from tests.patroni.packages import asked_for
from tests.skips import skip

PAGE = HERE.parent.parent / "docs" / "operations" / "high-availability.md"
SERVICES = Path("/lib/systemd/system")


def test_etcd_listens_at_addresses() -> None:
    """It refuses names there. The tests' clusters have other addresses, and would not notice."""
    lines = (HERE / "etcd.env").read_text().splitlines()
    listening = [line.partition("=")[2] for line in lines if "_LISTEN_" in line]
    assert len(listening) == 2
    for url in listening:
        ipaddress.ip_address(urlsplit(url).hostname or "")


@pytest.mark.parametrize(
    ("service", "files"),
    [
        ("patroni", ("/etc/patroni/config.yml", "/etc/patroni_env.conf")),
        ("etcd", ("/etc/default/etcd",)),
    ],
)
def test_debians_services_read_the_files_of_the_page(service: str, files: tuple[str, ...]) -> None:
    if not asked_for():
        skip("patroni")
    said = (SERVICES / f"{service}.service").read_text().replace("%p", service)
    page = PAGE.read_text()
    for file in files:
        assert file in said
        assert f"`{file}`" in page


def test_patronictl_finds_the_cluster_by_both_files() -> None:
    if not asked_for():
        skip("patroni")
    with Cluster.running() as cluster:
        said = cluster.patronictl("list")
        assert said.count("running") + said.count("streaming") == 3
        assert "Leader" in said
