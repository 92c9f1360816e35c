"""Debian's packages that a cluster needs."""

import os
import shutil
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin"

# Those of Debian's packages.
SERVERS = Path("/usr/lib/postgresql")


def newest() -> Path:
    """The folder of the newest server's programs."""
    return max(SERVERS.glob("*/bin"), key=lambda found: int(found.parent.name))


def missing() -> list[str]:
    """The packages that are not here."""
    needed = {
        "patroni": shutil.which("patroni"),
        "python3-etcd": Path("/usr/lib/python3/dist-packages/etcd").exists(),
        "etcd-server": shutil.which("etcd"),
        "haproxy": shutil.which("haproxy", path=PATH),
        "postgresql": list(SERVERS.glob("*/bin/postgres")),
    }
    return [name for name, found in needed.items() if not found]


def asked_for() -> bool:
    """Whether the tests are to run a cluster, and can."""
    return bool(os.environ.get("PGSTORE_TEST_PATRONI")) and not missing()
